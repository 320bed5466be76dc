package jqlora.ops;

/** Rotary embedding and causal attention in double precision, query by query. */
public final class ReferenceAttention {
    private ReferenceAttention() { }

    // ---- rotary embedding

    /**
     * Queries and keys rotated: {@code (x_i, x_j) -> (x_i cos - x_j sin, x_j cos + x_i sin)} with {@code j = i + rotaryDim / 2}; those from rotaryDim on stay.
     *
     * @param cos [positions, rotaryDim / 2]
     * @param direction 1, or -1 for the gradient, since a rotation's transpose is the rotation back
     */
    public static Matrix rotate(Matrix qkv, AttentionShape shape, Matrix cos, Matrix sin, int[] positions, int direction) {
        return rotate(qkv, shape, cos, sin, positions, direction, false);
    }

    /** @param interleaved whether {@code i} and {@code j} are {@code 2 i} and {@code 2 i + 1} */
    static Matrix rotate(Matrix qkv, AttentionShape shape, Matrix cos, Matrix sin, int[] positions, int direction, boolean interleaved) {
        Matrix y = qkv.scaled(1);
        int half = cos.columns();
        for (int row = 0; row < qkv.rows(); row++) {
            for (int head = 0; head < shape.numAttentionHeads() + shape.numKeyValueHeads(); head++) {
                for (int i = 0; i < half; i++) {
                    int first = head * shape.headDim() + (interleaved ? 2 * i : i), second = first + (interleaved ? 1 : half);
                    double c = cos.get(positions[row], i), s = direction * sin.get(positions[row], i);
                    y.set(row, first, qkv.get(row, first) * c - qkv.get(row, second) * s);
                    y.set(row, second, qkv.get(row, second) * c + qkv.get(row, first) * s);
                }
            }
        }
        return y;
    }

    // ---- attention

    /** The result [rows, qHeads headDim], and the logarithm of each softmax's denominator [rows, qHeads]. */
    public record Result(Matrix y, Matrix logSumExp) { }

    public static Result forward(Matrix qkv, AttentionShape shape, Sequences sequences) {
        Matrix y = Matrix.zeros(qkv.rows(), shape.queryColumns()), logSumExp = Matrix.zeros(qkv.rows(), shape.numAttentionHeads());
        for (int sequence = 0; sequence < sequences.count(); sequence++) {
            for (int head = 0; head < shape.numAttentionHeads(); head++) {
                for (int row = sequences.start(sequence); row < sequences.start(sequence + 1); row++) {
                    double[] p = probabilities(qkv, shape, sequences.start(sequence), row, head);
                    logSumExp.set(row, head, p[p.length - 1]);
                    for (int i = 0; i < shape.headDim(); i++) {
                        double sum = 0;
                        for (int key = 0; key <= row - sequences.start(sequence); key++) {
                            sum += p[key] * qkv.get(sequences.start(sequence) + key, valueColumn(shape, head) + i);
                        }
                        y.set(row, head * shape.headDim() + i, sum);
                    }
                }
            }
        }
        return new Result(y, logSumExp);
    }

    private static double capped(double score, AttentionShape shape) {
        return shape.softCap() == 0 ? score : shape.softCap() * Math.tanh(score / shape.softCap());
    }

    private static double slopeOfCap(double score, AttentionShape shape) {
        double tanh = shape.softCap() == 0 ? 0 : Math.tanh(score / shape.softCap());
        return 1 - tanh * tanh;
    }

    /** The softmax over keys start ... row; the last element is the logarithm of its denominator. */
    private static double[] probabilities(Matrix qkv, AttentionShape shape, int start, int row, int head) {
        int count = row - start + 1, first = shape.slidingWindow() == 0 ? 0 : Math.max(0, count - shape.slidingWindow());
        double[] p = new double[count + 1];
        double denominator = 0;
        for (int key = first; key < count; key++) {
            double score = 0;
            for (int i = 0; i < shape.headDim(); i++) {
                score += qkv.get(row, head * shape.headDim() + i) * qkv.get(start + key, keyColumn(shape, head) + i);
            }
            p[key] = Math.exp(capped(shape.scale() * score, shape) - shape.slope(head) * (count - 1 - key));
            denominator += p[key];
        }
        for (int key = first; key < count; key++) {
            p[key] /= denominator;
        }
        p[count] = Math.log(denominator);
        return p;
    }

    /** With {@code dp_k = dy . v_k} and {@code ds_k = p_k (dp_k - sum_l p_l dp_l)}: the gradient of qkv. */
    public static Matrix backward(Matrix dY, Matrix qkv, AttentionShape shape, Sequences sequences) {
        Matrix dQkv = Matrix.zeros(qkv.rows(), qkv.columns());
        for (int sequence = 0; sequence < sequences.count(); sequence++) {
            for (int head = 0; head < shape.numAttentionHeads(); head++) {
                for (int row = sequences.start(sequence); row < sequences.start(sequence + 1); row++) {
                    addGradient(dQkv, dY, qkv, shape, sequences.start(sequence), row, head);
                }
            }
        }
        return dQkv;
    }

    private static void addGradient(Matrix dQkv, Matrix dY, Matrix qkv, AttentionShape shape, int start, int row, int head) {
        int dim = shape.headDim(), query = head * dim, key = keyColumn(shape, head), value = valueColumn(shape, head);
        double[] p = probabilities(qkv, shape, start, row, head), dP = new double[p.length - 1];
        double mean = 0;
        for (int k = 0; k < dP.length; k++) {
            for (int i = 0; i < dim; i++) {
                dP[k] += dY.get(row, query + i) * qkv.get(start + k, value + i);
                dQkv.add(start + k, value + i, p[k] * dY.get(row, query + i));
            }
            mean += p[k] * dP[k];
        }
        for (int k = 0; k < dP.length; k++) {
            double score = 0;
            for (int i = 0; i < dim; i++) {
                score += qkv.get(row, query + i) * qkv.get(start + k, key + i);
            }
            double dScore = p[k] * (dP[k] - mean) * shape.scale() * slopeOfCap(shape.scale() * score, shape);
            for (int i = 0; i < dim; i++) {
                dQkv.add(row, query + i, dScore * qkv.get(start + k, key + i));
                dQkv.add(start + k, key + i, dScore * qkv.get(row, query + i));
            }
        }
    }

    private static int keyColumn(AttentionShape shape, int head) {
        return shape.queryColumns() + head / (shape.numAttentionHeads() / shape.numKeyValueHeads()) * shape.headDim();
    }

    private static int valueColumn(AttentionShape shape, int head) {
        return keyColumn(shape, head) + shape.keyColumns();
    }
}
