package jqlora.model;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import jqlora.ops.KvCache;
import jqlora.ops.Ops;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** The forward and backward of the whole decoder on one batch. */
final class DecoderPass {
    private final CausalLm model;
    private final Ops ops;
    private final DecoderSpec spec;

    DecoderPass(CausalLm model) {
        this.model = model;
        this.ops = model.ops();
        this.spec = model.spec();
    }

    /** Loss and all gradients; see {@link CausalLm#forwardBackward}. */
    void train(TokenBatch batch, double scale, Tensor lossSum, long dropoutKey, ActivationBudget budget) {
        int lowest = model.lowestTrainedLayer();
        List<DecoderLayer> layers = model.layers();
        Deque<LayerState> states = new ArrayDeque<>();
        try (Tensor ids = ops.upload(batch.inputIds()); Tensor positions = ops.upload(batch.sequences().positions())) {
            LayerPass pass = new LayerPass(ops, spec, model.rope(batch.sequences().maxLength()), batch.sequences(), positions, dropoutKey);
            Tensor x = ops.embedding(model.embedTokens().value(), ids);
            for (int i = 0; i < Math.min(lowest, layers.size()); i++) {
                x = replaced(x, pass.infer(layers.get(i), x, null));
            }
            int kept = -1;                                        // known once the first layer shows what it keeps
            for (int i = lowest; i < layers.size(); i++) {
                LayerState state = new LayerState(x);
                states.push(state);
                long before = ops.memory().bytesInUse();
                x = pass.forward(layers.get(i), state);
                if (kept < 0) {
                    long activations = ops.memory().bytesInUse() - before - x.byteSize();
                    kept = budget.layersKept(layers.size() - lowest, state.x.byteSize(), activations);
                }
                // the last layers keep theirs: they are needed first, so they are gone when the first ones are computed again
                if (i < layers.size() - kept) {
                    state.closeActivations();
                }
            }
            try (Tensor dX = headBackward(batch, x, scale, lossSum)) {
                while (!states.isEmpty()) {
                    int index = lowest + states.size() - 1;
                    try (LayerState state = states.pop()) {
                        if (!state.hasActivations()) {
                            pass.forward(layers.get(index), state).close();
                        }
                        pass.backward(layers.get(index), state, dX, index > lowest || model.embedTokens().isTrained());
                    }
                }
                if (model.embedTokens().isTrained()) {
                    ops.embeddingBackward(model.embedTokens().gradient(), dX, ids);
                }
            }
        } finally {
            states.forEach(LayerState::close);
        }
    }

    /** Final norm, output layer and loss. Closes {@code x}; returns its gradient. */
    private Tensor headBackward(TokenBatch batch, Tensor x, double scale, Tensor lossSum) {
        try (x; Tensor rstd = ops.allocate(DType.F32, batch.rows()); Tensor dNormed = ops.allocate(ops.computeType(), batch.rows(), spec.hiddenSize())) {
            try (Tensor normed = ops.rmsNorm(x, model.norm().value(), spec.rmsNormEps(), rstd)) {
                ops.headLoss(normed, model.lmHead().weights(), batch.targets(), scale, lossSum, dNormed);
            }
            Tensor dX = ops.zeros(ops.computeType(), batch.rows(), spec.hiddenSize());
            ops.rmsNormBackward(dX, dNormed, x, model.norm(), rstd);
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
            return hidden(new LayerPass(ops, spec, model.rope(positionsNeeded), sequences, positions, 0), ids, cache);
        }
    }

    /**
     * As {@link #hidden(int[], Sequences, KvCache)}, one token each sequence, on tensors alone.
     *
     * @param ids I32 [sequences]
     * @param positions I32 [sequences]
     */
    Tensor hidden(Tensor ids, Tensor positions, KvCache cache) {
        return hidden(new LayerPass(ops, spec, model.rope(cache.maxLength()), null, positions, 0), ids, cache);
    }

    private Tensor hidden(LayerPass pass, Tensor ids, KvCache cache) {
        Tensor x = ops.embedding(model.embedTokens().value(), ids);
        for (DecoderLayer layer : model.layers()) {
            x = replaced(x, pass.infer(layer, x, cache));
        }
        try (Tensor last = x; Tensor rstd = ops.allocate(DType.F32, ids.shape().size())) {
            return ops.rmsNorm(last, model.norm().value(), spec.rmsNormEps(), rstd);
        }
    }

    private static Tensor replaced(Tensor before, Tensor after) {
        before.close();
        return after;
    }
}
