package jqlora.ops;

import java.util.function.DoubleUnaryOperator;

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

    private static double density(double x) {
        return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
    }

    /**
     * The normal distribution's cumulative function. Up to 5 deviations by its series, {@code 1/2 + density (x + x^3/3 + x^5/(3 5) + ...)}, beyond
     * by the tail's continued fraction, {@code density / (x + 1/(x + 2/(x + 3/ ...)))}.
     *
     * @see <a href="https://dlmf.nist.gov/7.9">NIST Digital Library of Mathematical Functions, 7.6 and 7.9</a>
     */
    public static double normalCdf(double x) {
        if (Math.abs(x) > 5) {
            double denominator = Math.abs(x);
            for (int i = 60; i > 0; i--) {
                denominator = Math.abs(x) + i / denominator;
            }
            return x > 0 ? 1 - density(x) / denominator : density(x) / denominator;
        }
        double sum = 0, term = x;
        for (int i = 1; i < 120; i++) {
            sum += term;
            term *= x * x / (2 * i + 1);
        }
        return 0.5 + density(x) * sum;
    }

    /** The argument of the tanh in GELU's approximation. */
    private static double tanhArgument(double x) {
        return Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x);
    }

    private static double value(double x, Activation activation) {
        return switch (activation) {
            case SILU -> x * sigmoid(x);
            case GELU -> x * normalCdf(x);
            case GELU_TANH -> x * sigmoid(2 * tanhArgument(x));
            case RELU -> Math.max(x, 0);
            case RELU_SQUARED -> Math.max(x, 0) * Math.max(x, 0);
        };
    }

    private static double slope(double x, Activation activation) {
        return switch (activation) {
            case SILU -> sigmoid(x) + x * sigmoid(x) * (1 - sigmoid(x));
            case GELU -> normalCdf(x) + x * density(x);
            case GELU_TANH -> {
                double s = sigmoid(2 * tanhArgument(x));
                yield s + x * s * (1 - s) * 2 * tanhSlope(x);
            }
            case RELU -> x > 0 ? 1 : 0;
            case RELU_SQUARED -> 2 * Math.max(x, 0);
        };
    }

    private static double tanhSlope(double x) {
        return Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);
    }

    /** Below this an exponential in float32 may be 0. */
    private static final double SMALLEST = 1e-30;

    /** The magnitudes that {@code activation(x) / x} adds up. The exponential's argument is rounded: that counts as often as the argument is large, on the smaller side. */
    private static double gateTerms(double x, Activation activation) {
        return switch (activation) {
            case SILU -> sigmoid(x);
            case GELU -> normalCdf(x) + x * x / 2 * normalCdf(-Math.abs(x));
            case GELU_TANH -> sigmoid(2 * tanhArgument(x)) * (1 + 2 * Math.abs(tanhArgument(x)) * sigmoid(-2 * tanhArgument(x)));
            case RELU -> 1;
            case RELU_SQUARED -> Math.abs(x);
        } + SMALLEST;
    }

    private static double slopeTerms(double x, Activation activation) {
        return switch (activation) {
            case SILU -> sigmoid(x) * (1 + Math.abs(x));                 // 1 - sigmoid is rounded beside 1
            case GELU -> gateTerms(x, activation) + Math.abs(x) * density(x) * (1 + x * x / 2);
            case GELU_TANH -> gateTerms(x, activation) * (1 + Math.abs(x) * sigmoid(-2 * tanhArgument(x)) * (1 + 2 * Math.abs(tanhArgument(x))) * 2 * tanhSlope(x));
            case RELU -> 1;
            case RELU_SQUARED -> 2 * Math.abs(x);
        } + SMALLEST;
    }

    /** {@code activation(gate) up}. */
    public static Matrix gated(Matrix gateUp, Activation activation) {
        int n = gateUp.columns() / 2;
        return gateUp.columns(0, n).map(gate -> value(gate, activation)).masked(gateUp.columns(n, n));
    }

    /** The magnitudes that {@link #gated} adds up, like it. */
    public static Matrix gatedTerms(Matrix gateUp, Activation activation) {
        int n = gateUp.columns() / 2;
        return gateUp.columns(0, n).map(gate -> Math.abs(gate) * gateTerms(gate, activation)).masked(gateUp.columns(n, n).absolute());
    }

    public static Matrix gatedGradient(Matrix dY, Matrix gateUp, Activation activation) {
        return gatedGradient(dY, gateUp, x -> value(x, activation), x -> slope(x, activation));
    }

    /** The magnitudes that {@link #gatedGradient(Matrix, Matrix, Activation)} adds up, like it. */
    public static Matrix gatedGradientTerms(Matrix dY, Matrix gateUp, Activation activation) {
        return gatedGradient(dY.absolute(), gateUp, x -> Math.abs(x) * gateTerms(x, activation), x -> slopeTerms(x, activation)).absolute();
    }

    private static Matrix gatedGradient(Matrix dY, Matrix gateUp, DoubleUnaryOperator value, DoubleUnaryOperator slope) {
        int n = gateUp.columns() / 2;
        Matrix gate = gateUp.columns(0, n), dGateUp = Matrix.zeros(gateUp.rows(), 2 * n);
        dGateUp.put(0, 0, dY.masked(gateUp.columns(n, n)).masked(gate.map(slope)));
        dGateUp.put(0, n, dY.masked(gate.map(value)));
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
