package jqlora.model;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;
import jqlora.ops.Dropout;
import jqlora.ops.Input;
import jqlora.ops.KvCache;
import jqlora.ops.LinearGroup;
import jqlora.ops.Link;
import jqlora.ops.Norm;
import jqlora.ops.Ops;
import jqlora.ops.RopeTable;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** The forward and backward of the whole decoder on one batch. */
final class DecoderPass {
    private final CausalLm model;
    private final Ops ops;
    private final DecoderSpec spec;
    private final IntFunction<Map<RopeSpec, RopeTable>> ropes;

    DecoderPass(CausalLm model) {
        this(model, model.ops(), model::ropes);
    }

    /** @param ops may be a rehearsal of the model's
     * @param ropes the rotation tables for so many positions */
    DecoderPass(CausalLm model, Ops ops, IntFunction<Map<RopeSpec, RopeTable>> ropes) {
        this.model = model;
        this.ops = ops;
        this.spec = model.spec();
        this.ropes = ropes;
    }

    /** Loss and all gradients; see {@link CausalLm#forwardBackward}. */
    void train(TokenBatch batch, double scale, Tensor lossSum, Dropout dropout, ActivationBudget budget) {
        spec.requirePositions(batch.sequences().maxLength());
        int lowest = model.lowestTrainedLayer();
        List<DecoderLayer> layers = model.layers();
        Deque<DecoderLayer.State> states = new ArrayDeque<>();
        try (Tensor ids = ops.upload(batch.inputIds()); Tensor positions = ops.upload(batch.sequences().positions()); Embedding.State embedded = new Embedding.State()) {
            Map<RopeSpec, RopeTable> tables = ropes.apply(batch.sequences().maxLength());
            Pass pass = Pass.training(ops, tables, batch.sequences(), positions, dropout), frozen = Pass.inference(ops, tables, batch.sequences(), positions, null);
            Tensor x = model.embedding().forward(pass, ids, embedded);
            for (int i = 0; i < Math.min(lowest, layers.size()); i++) {
                x = replaced(x, layers.get(i).infer(frozen, x));
            }
            int kept = -1;                                        // known once the first layer shows what it keeps
            for (int i = lowest; i < layers.size(); i++) {
                DecoderLayer.State state = new DecoderLayer.State(x);
                states.push(state);
                long before = ops.memory().bytesInUse();
                x = layers.get(i).forward(pass, state);
                long all = ops.memory().bytesInUse() - before - x.byteSize() + state.x.byteSize();
                if (kept < 0) {
                    kept = layersKept(budget, layers.size() - lowest, state, all);
                }
                // the last layers keep theirs: they are needed first, so they are gone when the first ones are computed again
                if (i < layers.size() - kept) {
                    state.closeAllBut(budget.kept());
                    if (budget.place() == ActivationBudget.Place.HOST && i < layers.size() - 1) {
                        ops.offload(state.tensors());
                    }
                }
            }
            try (Tensor d = headBackward(batch, x, scale, lossSum)) {
                while (!states.isEmpty()) {
                    int index = lowest + states.size() - 1;
                    try (DecoderLayer.State state = states.pop()) {
                        if (!state.hasActivations()) {
                            layers.get(index).recompute(pass, state);
                        }
                        // the next layer's tensors come back where memory has just been given back; they arrive during attention's backward
                        Runnable fetch = states.isEmpty() ? () -> { } : () -> ops.fetch(states.peek().tensors());
                        layers.get(index).backward(pass, d, state, fetch, index > lowest || model.embedding().isTrained());
                    }
                }
                if (model.embedding().isTrained()) {
                    model.embedding().backward(pass, d, ids, embedded);
                }
            }
        } finally {
            states.forEach(DecoderLayer.State::close);
        }
    }

    /** @param all bytes of everything in {@code state}, which is that of the first layer */
    private static int layersKept(ActivationBudget budget, int layers, DecoderLayer.State state, long all) {
        long rest = switch (budget.place()) {
            case HOST -> 0;
            case DEVICE -> state.bytesKept(budget.kept());
        };
        return budget.layersKept(layers, rest, all - rest);
    }

    /** What comes after the last layer, and the loss. Closes {@code x}; returns its gradient. */
    private Tensor headBackward(TokenBatch batch, Tensor x, double scale, Tensor lossSum) {
        Norm norm = model.norm();
        if (norm == null) {
            try (x) {
                Tensor d = ops.allocate(ops.computeType(), batch.rows(), spec.hiddenSize());
                lossBackward(batch, x, scale, lossSum, d);
                return d;
            }
        }
        try (x; Tensor statistics = statistics(batch.rows()); Tensor dNormed = ops.allocate(ops.computeType(), batch.rows(), spec.hiddenSize())) {
            Input.Normed input = new Input.Normed(x, norm, statistics);
            try (Tensor normed = ops.compute(input)) {
                lossBackward(batch, normed, scale, lossSum, dNormed);
            }
            Tensor d = ops.zeros(ops.computeType(), batch.rows(), spec.hiddenSize());
            ops.computeBackward(d, dNormed, input);
            return d;
        }
    }

    /** @param x [rows, hidden], what follows the last norm @param d of x, overwritten; null for the loss alone */
    private void lossBackward(TokenBatch batch, Tensor x, double scale, Tensor lossSum, Tensor d) {
        if (model.projectOut() == null) {
            ops.headLoss(x, model.outputHead(), batch.targets(), scale, lossSum, d);
            return;
        }
        LinearGroup group = LinearGroup.of(model.projectOut().weights());
        try (Tensor inner = group.rank() == 0 ? null : ops.allocate(ops.computeType(), batch.rows(), group.rank())) {
            Link link = new Link(new Input.Kept(x), group, inner);
            try (Tensor projected = ops.linear(link, null, Dropout.NONE); Tensor dProjected = d == null ? null : ops.allocate(ops.computeType(), batch.rows(), group.outFeatures())) {
                ops.headLoss(projected, model.outputHead(), batch.targets(), scale, lossSum, dProjected);
                if (d != null) {
                    ops.linearBackward(d, dProjected, List.of(link), Dropout.NONE);
                }
            }
        }
    }

    /** The loss alone. */
    void evaluate(TokenBatch batch, Tensor lossSum) {
        try (Tensor normed = normed(batch.inputIds(), batch.sequences(), null)) {
            lossBackward(batch, normed, 1, lossSum, null);
        }
    }

    /** What the output layer reads, [rows, hidden]. */
    Tensor hidden(int[] inputIds, Sequences sequences, KvCache cache) {
        return projected(normed(inputIds, sequences, cache));
    }

    /**
     * As {@link #hidden(int[], Sequences, KvCache)}, one token each sequence, on tensors alone.
     *
     * @param ids I32 [sequences]
     * @param positions I32 [sequences]
     */
    Tensor hidden(Tensor ids, Tensor positions, KvCache cache) {
        return projected(normed(Pass.inference(ops, ropes.apply(cache.maxLength()), null, positions, cache), ids));
    }

    private Tensor normed(int[] inputIds, Sequences sequences, KvCache cache) {
        int positionsNeeded = cache == null ? sequences.maxLength() : Math.max(cache.maxLength(), sequences.maxLength());
        spec.requirePositions(positionsNeeded);
        try (Tensor ids = ops.upload(inputIds); Tensor positions = ops.upload(sequences.positions())) {
            return normed(Pass.inference(ops, ropes.apply(positionsNeeded), sequences, positions, cache), ids);
        }
    }

    /** The residual stream after the last norm, [rows, hidden]. */
    private Tensor normed(Pass pass, Tensor ids) {
        Tensor x;
        try (Embedding.State embedded = new Embedding.State()) {
            x = model.embedding().forward(pass, ids, embedded);
        }
        for (DecoderLayer layer : model.layers()) {
            x = replaced(x, layer.infer(pass, x));
        }
        if (model.norm() == null) {
            return x;
        }
        try (Tensor last = x; Tensor statistics = statistics(ids.shape().size())) {
            return ops.compute(new Input.Normed(last, model.norm(), statistics));
        }
    }

    private Tensor projected(Tensor normed) {
        if (model.projectOut() == null) {
            return normed;
        }
        LinearGroup group = LinearGroup.of(model.projectOut().weights());
        try (normed; Tensor inner = group.rank() == 0 ? null : ops.allocate(ops.computeType(), normed.shape().dim(0), group.rank())) {
            return ops.linear(new Link(new Input.Kept(normed), group, inner), null, Dropout.NONE);
        }
    }

    /** Of the last norm. */
    private Tensor statistics(long rows) {
        return ops.allocate(DType.F32, model.norm().statistics(rows).toArray());
    }

    private static Tensor replaced(Tensor before, Tensor after) {
        before.close();
        return after;
    }
}
