package jqlora.inspect;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/**
 * The labels of one axis, all with as many decimals. XChart asks for one label after the other, and only it knows where they stand: so a chart is drawn
 * twice, once for this to learn the places.
 */
final class TickLabels implements Function<Double, String> {
    private static final int DIGITS = 10;

    private final List<Double> asked = new ArrayList<>();
    private NumberText text;

    @Override
    public String apply(Double tick) {
        double rounded = rounded(tick);
        if (text == null) {
            asked.add(rounded);
            return NumberText.alone(rounded, DIGITS);
        }
        return text.of(rounded);
    }

    /**
     * From here on every label has as many decimals as the ticks need. XChart tries one distance of ticks after the other, and before each it asks for the
     * greatest and the least number of the data, to see how wide they are: what counts is the last ascending row.
     */
    void settle() {
        int from = Math.max(0, asked.size() - 1);
        while (from > 0 && asked.get(from - 1) < asked.get(from)) {
            from--;
        }
        List<Double> ticks = asked.subList(from, asked.size());
        double most = ticks.stream().mapToDouble(Math::abs).max().orElse(0);
        text = NumberText.ofTicks(ticks.stream().mapToDouble(tick -> Math.abs(tick) < most * 1e-9 ? 0 : tick).toArray());
    }

    /** XChart adds steps up, which leaves 0.30000000000000004. */
    private static double rounded(double tick) {
        return tick == 0 || !Double.isFinite(tick) ? tick : new java.math.BigDecimal(tick).round(new java.math.MathContext(DIGITS)).doubleValue();
    }
}
