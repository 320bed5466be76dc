package jqlora.inspect;

import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * The labels of one axis, all with as many decimals. XChart asks for one label after the other, and only it knows where they stand: so a chart is drawn
 * twice, once for this to learn the places.
 */
final class TickLabels implements Function<Double, String> {
    private static final int DIGITS = 10;

    private final Set<Double> seen = new TreeSet<>();
    private NumberText text;

    @Override
    public String apply(Double tick) {
        double rounded = rounded(tick);
        if (text == null) {
            seen.add(rounded);
            return NumberText.alone(rounded, DIGITS);
        }
        return text.of(rounded);
    }

    /** From here on every label has as many decimals as those seen so far need. */
    void settle() {
        double most = seen.stream().mapToDouble(Math::abs).max().orElse(0);
        text = NumberText.ofTicks(seen.stream().mapToDouble(tick -> Math.abs(tick) < most * 1e-9 ? 0 : tick).toArray());
    }

    /** XChart adds steps up, which leaves 0.30000000000000004. */
    private static double rounded(double tick) {
        return tick == 0 || !Double.isFinite(tick) ? tick : new java.math.BigDecimal(tick).round(new java.math.MathContext(DIGITS)).doubleValue();
    }
}
