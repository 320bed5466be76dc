package jqlora.model;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;

/** How a model knows where a token stands. */
public sealed interface Positions {
    /** How many positions the model was made for. */
    int count();

    /** Queries and keys turn. @param layers how they do in each layer; null where they do not (SmolLM3) */
    record Rotary(List<RopeSpec> layers) implements Positions {
        public Rotary {
            layers = Collections.unmodifiableList(new ArrayList<>(layers));
        }

        /** In all layers alike. */
        public static Rotary of(RopeSpec rope, int layers) {
            return new Rotary(Collections.nCopies(layers, rope));
        }

        @Override
        public int count() {
            return layers.stream().filter(Objects::nonNull).mapToInt(RopeSpec::maxPositionEmbeddings).max().orElse(Integer.MAX_VALUE);
        }
    }

    /**
     * A row of a table is added to the embedding; there are no positions beyond it.
     *
     * @param table name of the module
     * @param offset row of position 0
     */
    record Learned(String table, int count, int offset) implements Positions {
        int rows() {
            return count + offset;
        }
    }

    /** Scores fall with the distance. @param max greatest exponent of the slopes, see {@link jqlora.ops.AttentionShape#slope} */
    record Alibi(int count, float max) implements Positions { }
}
