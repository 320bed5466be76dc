package jqlora.model;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.function.IntFunction;
import jqlora.ops.KvCache;
import jqlora.ops.Ops;
import jqlora.ops.RopeTable;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Tensor;

/** The forward and backward of the whole decoder on one batch. */
final class DecoderPass {
    private final CausalLm model;
    private final Ops ops;
    private final DecoderSpec spec;
    private final IntFunction<RopeTable> rope;

    DecoderPass(CausalLm model) {
        this(model, model.ops(), model::rope);
    }

    /** @param ops may be a rehearsal of the model's
     * @param rope the rotation table for so many positions */
    DecoderPass(CausalLm model, Ops ops, IntFunction<RopeTable> rope) {
        this.model = model;
        this.ops = ops;
        this.spec = model.spec();
        this.rope = rope;
    }

    /** Loss and all gradients; see {@link CausalLm#forwardBackward}. */
    void train(TokenBatch batch, double scale, Tensor lossSum, long dropoutKey, ActivationBudget budget) {
        int lowest = model.lowestTrainedLayer();
        List<DecoderLayer> layers = model.layers();
        Deque<LayerState> states = new ArrayDeque<>();
        try (Tensor ids = ops.upload(batch.inputIds()); Tensor positions = ops.upload(batch.sequences().positions())) {
            LayerPass pass = new LayerPass(ops, spec, rope.apply(batch.sequences().maxLength()), batch.sequences(), positions, dropoutKey);
            Tensor x = ops.embedding(model.embedTokens().value(), ids, embeddingScale());
            for (int i = 0; i < Math.min(lowest, layers.size()); i++) {
                x = replaced(x, pass.infer(layers.get(i), x, null));
            }
            int kept = -1;                                        // known once the first layer shows what it keeps
            for (int i = lowest; i < layers.size(); i++) {
                LayerState state = new LayerState(x);
                states.push(state);
                long before = ops.memory().bytesInUse();
                x = pass.forward(layers.get(i), state);
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
            try (Tensor dX = headBackward(batch, x, scale, lossSum)) {
                while (!states.isEmpty()) {
                    int index = lowest + states.size() - 1;
                    DecoderLayer layer = layers.get(index);
                    try (LayerState state = states.pop()) {
                        if (!state.hasActivations()) {
                            pass.recompute(layer, state);
                        }
                        pass.mlpBackward(layer, state, dX);
                        if (!states.isEmpty()) {
                            ops.fetch(states.peek().tensors());   // here, where memory has just been given back; it arrives during attention's backward
                        }
                        pass.attentionBackward(layer, state, dX, index > lowest || model.embedTokens().isTrained());
                    }
                }
                if (model.embedTokens().isTrained()) {
                    ops.embeddingBackward(model.embedTokens().gradient(), dX, ids, embeddingScale());
                }
            }
        } finally {
            states.forEach(LayerState::close);
        }
    }

    /** @param all bytes of everything in {@code state}, which is that of the first layer */
    private static int layersKept(ActivationBudget budget, int layers, LayerState state, long all) {
        long rest = switch (budget.place()) {
            case HOST -> 0;
            case DEVICE -> state.bytesKept(budget.kept());
        };
        return budget.layersKept(layers, rest, all - rest);
    }

    /** Final norm, output layer and loss. Closes {@code x}; returns its gradient. */
    private Tensor headBackward(TokenBatch batch, Tensor x, double scale, Tensor lossSum) {
        try (x; Tensor statistics = statistics(batch.rows()); Tensor dNormed = ops.allocate(ops.computeType(), batch.rows(), spec.hiddenSize())) {
            try (Tensor normed = ops.norm(x, model.norm(), statistics)) {
                ops.headLoss(normed, model.lmHead().weights(), batch.targets(), scale, lossSum, dNormed);
            }
            Tensor dX = ops.zeros(ops.computeType(), batch.rows(), spec.hiddenSize());
            ops.normBackward(dX, dNormed, x, model.norm(), statistics);
            return dX;
        }
    }

    /** The loss alone. */
    void evaluate(TokenBatch batch, Tensor lossSum) {
        try (Tensor normed = hidden(batch.inputIds(), batch.sequences(), null)) {
            ops.headLoss(normed, model.lmHead().weights(), batch.targets(), 1, lossSum, null);
        }
    }

    /** The residual stream after the last norm, [rows, hidden]. */
    Tensor hidden(int[] inputIds, Sequences sequences, KvCache cache) {
        int positionsNeeded = cache == null ? sequences.maxLength() : Math.max(cache.maxLength(), sequences.maxLength());
        try (Tensor ids = ops.upload(inputIds); Tensor positions = ops.upload(sequences.positions())) {
            return hidden(new LayerPass(ops, spec, rope.apply(positionsNeeded), sequences, positions, 0), ids, cache);
        }
    }

    /**
     * As {@link #hidden(int[], Sequences, KvCache)}, one token each sequence, on tensors alone.
     *
     * @param ids I32 [sequences]
     * @param positions I32 [sequences]
     */
    Tensor hidden(Tensor ids, Tensor positions, KvCache cache) {
        return hidden(new LayerPass(ops, spec, rope.apply(cache.maxLength()), null, positions, 0), ids, cache);
    }

    private Tensor hidden(LayerPass pass, Tensor ids, KvCache cache) {
        Tensor x = ops.embedding(model.embedTokens().value(), ids, embeddingScale());
        for (DecoderLayer layer : model.layers()) {
            x = replaced(x, pass.infer(layer, x, cache));
        }
        try (Tensor last = x; Tensor statistics = statistics(ids.shape().size())) {
            return ops.norm(last, model.norm(), statistics);
        }
    }

    /** Of the last norm. */
    private Tensor statistics(long rows) {
        return ops.allocate(DType.F32, model.norm().statistics(rows).toArray());
    }

    private float embeddingScale() {
        return FloatConversion.round(spec.embedding().scale(), ops.computeType());
    }

    private static Tensor replaced(Tensor before, Tensor after) {
        before.close();
        return after;
    }
}
