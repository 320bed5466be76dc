package jqlora.ops;

/** RMS normalisation in double precision, from {@code y_i = x_i r w_i} and {@code r = (mean x^2 + eps)^(-1/2)}. */
public final class ReferenceNorm {
    private ReferenceNorm() { }

    /** {@code r} of each row, [rows, 1]. */
    public static Matrix rstd(Matrix x, double eps) {
        Matrix rstd = Matrix.zeros(x.rows(), 1);
        for (int row = 0; row < x.rows(); row++) {
            double squares = 0;
            for (int i = 0; i < x.columns(); i++) {
                squares += x.get(row, i) * x.get(row, i);
            }
            rstd.set(row, 0, 1 / Math.sqrt(squares / x.columns() + eps));
        }
        return rstd;
    }

    /** @param weight [1, hidden] */
    public static Matrix forward(Matrix x, Matrix weight, double eps) {
        Matrix rstd = rstd(x, eps), y = Matrix.zeros(x.rows(), x.columns());
        for (int row = 0; row < x.rows(); row++) {
            for (int i = 0; i < x.columns(); i++) {
                y.set(row, i, x.get(row, i) * rstd.get(row, 0) * weight.get(0, i));
            }
        }
        return y;
    }

    /** With {@code dr / dx_j = -r^3 x_j / n}: {@code dx_j = r w_j dy_j - r^3 x_j / n sum_i dy_i w_i x_i}. */
    public static Matrix inputGradient(Matrix dY, Matrix x, Matrix weight, double eps) {
        Matrix rstd = rstd(x, eps), dX = Matrix.zeros(x.rows(), x.columns());
        int n = x.columns();
        for (int row = 0; row < x.rows(); row++) {
            double r = rstd.get(row, 0), sum = 0;
            for (int i = 0; i < n; i++) {
                sum += dY.get(row, i) * weight.get(0, i) * x.get(row, i);
            }
            for (int j = 0; j < n; j++) {
                dX.set(row, j, r * weight.get(0, j) * dY.get(row, j) - r * r * r * x.get(row, j) / n * sum);
            }
        }
        return dX;
    }

    /** {@code dw_i = sum over rows of dy_i x_i r}, [1, hidden]. */
    public static Matrix weightGradient(Matrix dY, Matrix x, double eps) {
        Matrix rstd = rstd(x, eps), dWeight = Matrix.zeros(1, x.columns());
        for (int row = 0; row < x.rows(); row++) {
            for (int i = 0; i < x.columns(); i++) {
                dWeight.add(0, i, dY.get(row, i) * x.get(row, i) * rstd.get(row, 0));
            }
        }
        return dWeight;
    }

    /** The sum of the magnitudes that {@link #inputGradient} adds up, like it. */
    public static Matrix inputGradientTerms(Matrix dY, Matrix x, Matrix weight, double eps) {
        Matrix rstd = rstd(x, eps), terms = Matrix.zeros(x.rows(), x.columns());
        int n = x.columns();
        for (int row = 0; row < x.rows(); row++) {
            double r = rstd.get(row, 0), sum = 0;
            for (int i = 0; i < n; i++) {
                sum += Math.abs(dY.get(row, i) * weight.get(0, i) * x.get(row, i));
            }
            for (int j = 0; j < n; j++) {
                terms.set(row, j, r * Math.abs(weight.get(0, j) * dY.get(row, j)) + r * r * r * Math.abs(x.get(row, j)) / n * sum);
            }
        }
        return terms;
    }

    // ---- heads of queries and keys; values are copied

    /** [rows, qHeads + kvHeads] */
    public static Matrix headRstd(Matrix qkv, AttentionShape shape, double eps) {
        Matrix rstd = Matrix.zeros(qkv.rows(), heads(shape));
        for (int head = 0; head < heads(shape); head++) {
            rstd.put(0, head, rstd(head(qkv, shape, head), eps));
        }
        return rstd;
    }

    public static Matrix headForward(Matrix qkv, AttentionShape shape, Matrix qWeight, Matrix kWeight, double eps) {
        Matrix y = qkv.scaled(1);
        for (int head = 0; head < heads(shape); head++) {
            y.put(0, head * shape.headDim(), forward(head(qkv, shape, head), weight(head, shape, qWeight, kWeight), eps));
        }
        return y;
    }

    public static Matrix headInputGradient(Matrix dY, Matrix qkv, AttentionShape shape, Matrix qWeight, Matrix kWeight, double eps) {
        Matrix dQkv = dY.scaled(1);
        for (int head = 0; head < heads(shape); head++) {
            Matrix weight = weight(head, shape, qWeight, kWeight);
            dQkv.put(0, head * shape.headDim(), inputGradient(head(dY, shape, head), head(qkv, shape, head), weight, eps));
        }
        return dQkv;
    }

    /** Of the queries' weight, or of the keys'. */
    public static Matrix headWeightGradient(boolean queries, Matrix dY, Matrix qkv, AttentionShape shape, double eps) {
        int from = queries ? 0 : shape.numAttentionHeads(), to = queries ? shape.numAttentionHeads() : heads(shape);
        Matrix sum = Matrix.zeros(1, shape.headDim());
        for (int head = from; head < to; head++) {
            sum = sum.plus(weightGradient(head(dY, shape, head), head(qkv, shape, head), eps));
        }
        return sum;
    }

    private static int heads(AttentionShape shape) {
        return shape.numAttentionHeads() + shape.numKeyValueHeads();
    }

    private static Matrix head(Matrix qkv, AttentionShape shape, int head) {
        return qkv.columns(head * shape.headDim(), shape.headDim());
    }

    private static Matrix weight(int head, AttentionShape shape, Matrix qWeight, Matrix kWeight) {
        return head < shape.numAttentionHeads() ? qWeight : kWeight;
    }
}
