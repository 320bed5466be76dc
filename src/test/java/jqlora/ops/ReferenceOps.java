package jqlora.ops;

/**
 * The operations of {@link Ops} in plain double precision, written from their formulas: here the small ones, in
 * {@link ReferenceNorm}, {@link ReferenceLinear} and {@link ReferenceAttention} the others. {@code ReferenceGradientTest} proves the
 * gradients by central differences.
 */
public final class ReferenceOps {
    private ReferenceOps() { }

    // ---- embedding

    public static Matrix embedding(Matrix table, int[] ids) {
        Matrix y = Matrix.zeros(ids.length, table.columns());
        for (int row = 0; row < ids.length; row++) {
            y.put(row, 0, table.rows(ids[row], 1));
        }
        return y;
    }

    /** [vocab, hidden] */
    public static Matrix embeddingGradient(Matrix dY, int[] ids, int vocab) {
        Matrix dTable = Matrix.zeros(vocab, dY.columns());
        for (int row = 0; row < ids.length; row++) {
            for (int i = 0; i < dY.columns(); i++) {
                dTable.add(ids[row], i, dY.get(row, i));
            }
        }
        return dTable;
    }

    // ---- gated activation

    private static double sigmoid(double x) {
        return 1 / (1 + Math.exp(-x));
    }

    /** {@code gate sigmoid(gate) up}. */
    public static Matrix silu(Matrix gateUp) {
        int n = gateUp.columns() / 2;
        Matrix y = Matrix.zeros(gateUp.rows(), n);
        for (int row = 0; row < gateUp.rows(); row++) {
            for (int i = 0; i < n; i++) {
                double gate = gateUp.get(row, i);
                y.set(row, i, gate * sigmoid(gate) * gateUp.get(row, n + i));
            }
        }
        return y;
    }

    /** With {@code d silu(g) / dg = s + g s (1 - s)}, s the sigmoid of g. */
    public static Matrix siluGradient(Matrix dY, Matrix gateUp) {
        int n = gateUp.columns() / 2;
        Matrix dGateUp = Matrix.zeros(gateUp.rows(), 2 * n);
        for (int row = 0; row < gateUp.rows(); row++) {
            for (int i = 0; i < n; i++) {
                double gate = gateUp.get(row, i), s = sigmoid(gate);
                dGateUp.set(row, i, dY.get(row, i) * gateUp.get(row, n + i) * (s + gate * s * (1 - s)));
                dGateUp.set(row, n + i, dY.get(row, i) * gate * s);
            }
        }
        return dGateUp;
    }

    // ---- cross-entropy

    /** The sum of {@code -log softmax(logits)[target]} over the rows whose target is not -100. */
    public static double crossEntropy(Matrix logits, int[] targets) {
        double sum = 0;
        for (int row = 0; row < logits.rows(); row++) {
            if (targets[row] != -100) {
                sum += Math.log(denominator(logits, row)) - logits.get(row, targets[row]);
            }
        }
        return sum;
    }

    /** {@code softmax - onehot} in the rows that have a target, 0 in the others. */
    public static Matrix crossEntropyGradient(Matrix logits, int[] targets) {
        Matrix dLogits = Matrix.zeros(logits.rows(), logits.columns());
        for (int row = 0; row < logits.rows(); row++) {
            if (targets[row] != -100) {
                for (int i = 0; i < logits.columns(); i++) {
                    dLogits.set(row, i, Math.exp(logits.get(row, i)) / denominator(logits, row));
                }
                dLogits.add(row, targets[row], -1);
            }
        }
        return dLogits;
    }

    private static double denominator(Matrix logits, int row) {
        double sum = 0;
        for (int i = 0; i < logits.columns(); i++) {
            sum += Math.exp(logits.get(row, i));
        }
        return sum;
    }

    // ---- optimizer

    /** What one AdamW step makes of a parameter. */
    public record AdamWResult(Matrix value, Matrix firstMoment, Matrix secondMoment) { }

    /** The order of {@code torch.optim.AdamW}; the gradient is clipped by {@code norm} before. */
    public static AdamWResult adamW(AdamWResult state, Matrix gradient, AdamWStep step, double norm) {
        double clip = step.maxGradNorm() == 0 ? 1 : Math.min(1, step.maxGradNorm() / (norm + 1e-6));
        Matrix g = gradient.scaled(clip);
        Matrix m = state.firstMoment.scaled(step.beta1()).plus(g.scaled(1 - step.beta1()));
        Matrix v = state.secondMoment.scaled(step.beta2()).plus(g.masked(g).scaled(1 - step.beta2()));
        double firstCorrection = 1 - Math.pow(step.beta1(), step.step()), secondCorrection = 1 - Math.pow(step.beta2(), step.step());
        Matrix inverse = v.map(x -> 1 / (Math.sqrt(x / secondCorrection) + step.eps()));
        Matrix value = state.value.scaled(1 - step.learningRate() * step.weightDecay())
                .plus(m.masked(inverse).scaled(-step.learningRate() / firstCorrection));
        return new AdamWResult(value, m, v);
    }

    /** The order of bitsandbytes' 8-bit AdamW, the moments not rounded: decay after the update, eps scaled by the second moment's correction. */
    public static AdamWResult adamW8bit(AdamWResult state, Matrix gradient, AdamWStep step, double norm) {
        AdamWResult moments = adamW(state, gradient, step, norm);
        double first = 1 - Math.pow(step.beta1(), step.step()), second = Math.sqrt(1 - Math.pow(step.beta2(), step.step()));
        Matrix inverse = moments.secondMoment.map(x -> 1 / (Math.sqrt(x) + second * step.eps()));
        Matrix value = state.value.plus(moments.firstMoment.masked(inverse).scaled(-step.learningRate() * second / first)).scaled(1 - step.learningRate() * step.weightDecay());
        return new AdamWResult(value, moments.firstMoment, moments.secondMoment);
    }
}
