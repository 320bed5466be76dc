package jqlora.model;

import java.util.List;
import jqlora.ops.HeadOrder;

/** How a family projects to queries, keys and values. */
public sealed interface Qkv {
    /** In the order of the checkpoint. */
    List<Projection> projections();

    HeadOrder order();

    /** Three layers. */
    record Separate(Projection query, Projection key, Projection value) implements Qkv {
        @Override
        public List<Projection> projections() {
            return List.of(query, key, value);
        }

        @Override
        public HeadOrder order() {
            return HeadOrder.SEPARATE;
        }
    }

    /** One layer. It stays as the checkpoint has it, since blocks of 4-bit weights reach over rows; {@code order} is undone behind it. */
    record Fused(Projection projection, HeadOrder order) implements Qkv {
        @Override
        public List<Projection> projections() {
            return List.of(projection);
        }
    }
}
