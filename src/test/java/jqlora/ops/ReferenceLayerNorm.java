package jqlora.ops;

/**
 * Layer normalisation in double precision, from {@code y_i = n_i w_i + b_i}, {@code n_i = d_i r}, {@code d_i = x_i - mean(x)} and
 * {@code r = (mean d^2 + eps)^(-1/2)}; and the magnitudes that each result adds up. A mean is off by a part of its summands' magnitudes, and so is every
 * deviation from it: {@code |x_i| + mean|x|} stands for |d_i| there, and r counts as often as the deviations' errors grow in it.
 */
public final class ReferenceLayerNorm {
    private ReferenceLayerNorm() { }

    /** The mean of each row, in every column. */
    private static Matrix means(Matrix x) {
        Matrix sums = x.times(Matrix.filled(x.columns(), 1, 1.0 / x.columns()));
        return sums.times(Matrix.filled(1, x.columns(), 1));
    }

    private static Matrix deviations(Matrix x) {
        return x.plus(means(x).scaled(-1));
    }

    /** Of {@code d}. */
    private static Matrix deviationTerms(Matrix x) {
        return x.absolute().plus(means(x.absolute()));
    }

    /** {@code r}, in every column. */
    private static Matrix rstd(Matrix x, double eps) {
        Matrix d = deviations(x);
        return means(d.masked(d)).map(square -> 1 / Math.sqrt(square + eps));
    }

    /** Of {@code r}, in every column. */
    private static Matrix rstdTerms(Matrix x, double eps) {
        Matrix r = rstd(x, eps), grown = means(deviations(x).absolute().masked(deviationTerms(x))).masked(r).masked(r);
        return r.masked(grown.map(value -> 1 + value));
    }

    private static Matrix normalized(Matrix x, double eps) {
        return deviations(x).masked(rstd(x, eps));
    }

    private static Matrix normalizedTerms(Matrix x, double eps) {
        return deviationTerms(x).masked(rstdTerms(x, eps));
    }

    /** A row, {@code rows} times. */
    private static Matrix repeated(Matrix row, int rows) {
        return Matrix.filled(rows, 1, 1).times(row);
    }

    /** {@code mean(x)} and {@code r} of each row, [rows, 2]. */
    public static Matrix statistics(Matrix x, double eps) {
        return sideBySide(means(x), rstd(x, eps));
    }

    public static Matrix statisticsTerms(Matrix x, double eps) {
        return sideBySide(means(x.absolute()), rstdTerms(x, eps));
    }

    /** The first columns. */
    private static Matrix sideBySide(Matrix first, Matrix second) {
        Matrix both = Matrix.zeros(first.rows(), 2);
        both.put(0, 0, first.columns(0, 1));
        both.put(0, 1, second.columns(0, 1));
        return both;
    }

    /**
     * @param weight [1, hidden]
     * @param bias [1, hidden]
     */
    public static Matrix forward(Matrix x, Matrix weight, Matrix bias, double eps) {
        return normalized(x, eps).masked(repeated(weight, x.rows())).plus(repeated(bias, x.rows()));
    }

    public static Matrix forwardTerms(Matrix x, Matrix weight, Matrix bias, double eps) {
        return normalizedTerms(x, eps).masked(repeated(weight.absolute(), x.rows())).plus(repeated(bias.absolute(), x.rows()));
    }

    /** {@code dx_i = r (t_i - mean(t) - n_i mean(t n))} with {@code t_i = dy_i w_i}: mean and deviation both depend on every x. */
    public static Matrix inputGradient(Matrix dY, Matrix x, Matrix weight, double eps) {
        Matrix t = dY.masked(repeated(weight, x.rows())), n = normalized(x, eps);
        return t.plus(means(t).scaled(-1)).plus(n.masked(means(t.masked(n))).scaled(-1)).masked(rstd(x, eps));
    }

    public static Matrix inputGradientTerms(Matrix dY, Matrix x, Matrix weight, double eps) {
        Matrix t = dY.masked(repeated(weight, x.rows())).absolute(), n = normalizedTerms(x, eps);
        return t.plus(means(t)).plus(n.masked(means(t.masked(n)))).masked(rstdTerms(x, eps));
    }

    /** {@code dw_i = sum over rows of dy_i n_i}, [1, hidden]. */
    public static Matrix weightGradient(Matrix dY, Matrix x, double eps) {
        return dY.masked(normalized(x, eps)).columnSums();
    }

    public static Matrix weightGradientTerms(Matrix dY, Matrix x, double eps) {
        return dY.absolute().masked(normalizedTerms(x, eps)).columnSums();
    }
}
