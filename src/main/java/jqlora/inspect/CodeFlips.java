package jqlora.inspect;

import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import jqlora.lora.Merger;
import jqlora.model.CausalLm;
import jqlora.ops.Ops;
import jqlora.ops.Weight;
import jqlora.quant.FourBitType;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.ShapeException;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;

/** Which 4-bit codes of a weight a merge has changed: how often each of the 16 values became each other one. */
public final class CodeFlips {
    private static final int CODES = 16;

    private final String module;
    private final FourBitType type;
    private final int[] places = new int[CODES];                  // of each code, in the order of the values
    private final long[][] counts = new long[CODES][CODES];
    private final double otherScales;

    private CodeFlips(String module, QuantizedTensor before, QuantizedTensor after) {
        this.module = module;
        this.type = before.format().type();
        List<Integer> order = IntStream.range(0, CODES).boxed().sorted(Comparator.comparingDouble(type::value)).toList();
        for (int place = 0; place < CODES; place++) {
            places[order.get(place)] = place;
        }
        for (long i = 0; i < before.shape().size(); i++) {
            counts[places[code(before, i)]][places[code(after, i)]]++;
        }
        long blocks = before.format().blocks(before.shape().size()), other = 0;
        for (long block = 0; block < blocks; block++) {
            other += before.absmax().get(block) != after.absmax().get(block) ? 1 : 0;
        }
        this.otherScales = blocks == 0 ? 0 : (double) other / blocks;
    }

    private static int code(QuantizedTensor tensor, long element) {
        int both = tensor.codes().get(ValueLayout.JAVA_BYTE, element / 2) & 0xff;
        return element % 2 == 0 ? both >> 4 : both & 0xf;
    }

    /**
     * The codes of two 4-bit tensors, compared.
     *
     * @throws IllegalArgumentException if their types, block sizes or shapes differ
     */
    public static CodeFlips of(String module, QuantizedTensor before, QuantizedTensor after) {
        ShapeException.require("code flips of " + module, after.shape(), before.shape());
        if (before.format().type() != after.format().type() || before.format().blockSize() != after.format().blockSize()) {
            throw new IllegalArgumentException("code flips of " + module + ": " + before.format() + " before, " + after.format() + " after; type and block size must be equal");
        }
        return new CodeFlips(module, before, after);
    }

    /**
     * What {@code merged} did to the codes of {@code module}.
     *
     * @throws IllegalArgumentException if the merge did not touch the module, is undone or final, or the weight is not in 4 bits before and after
     */
    public static CodeFlips of(Merger.Merged merged, String module) {
        CausalLm model = merged.adapter().model();
        Weight before = merged.before(module);
        if (before == null) {
            throw new IllegalArgumentException("code flips: the merge holds nothing of \"" + module + "\"; it holds " + String.join(", ", merged.adapter().factors().keySet()));
        }
        return of(module, fourBit(model.ops(), module, before), fourBit(model.ops(), module, model.linear(module).weight()));
    }

    private static QuantizedTensor fourBit(Ops ops, String module, Weight weight) {
        if (!(weight instanceof Weight.FourBit codes)) {
            throw new IllegalArgumentException("code flips: the weight of " + module + " is in numbers; it must be in 4 bits before the merge and after, merge by a route whose name ends in 4BIT");
        }
        return ops.download(codes);
    }

    public String module() {
        return module;
    }

    /** How many weights had the value of place {@code from} and have that of place {@code to}; places 0 to 15, in the order of the values. */
    public long count(int from, int to) {
        return counts[from][to];
    }

    private long weights() {
        return IntStream.range(0, CODES).mapToLong(this::weights).sum();
    }

    private long weights(int from) {
        long sum = 0;
        for (long count : counts[from]) {
            sum += count;
        }
        return sum;
    }

    /** Share of the weights whose code is another one. */
    public double flipped() {
        return byPlaces(1, CODES);
    }

    /** Share of the weights that moved to the next higher or lower value. */
    public double toNeighbour() {
        return byPlaces(1, 1);
    }

    private double byPlaces(int least, int most) {
        long moved = 0;
        for (int from = 0; from < CODES; from++) {
            for (int to = 0; to < CODES; to++) {
                int distance = Math.abs(to - from);
                moved += distance >= least && distance <= most ? counts[from][to] : 0;
            }
        }
        return weights() == 0 ? 0 : (double) moved / weights();
    }

    /** Share of the blocks whose absmax is another number. */
    public double otherScales() {
        return otherScales;
    }

    /** For each of the 16 values, how many percent of its weights went up, and how many down. */
    public CategoryChart chart() {
        List<String> values = new ArrayList<>();
        List<Double> up = new ArrayList<>(), down = new ArrayList<>();
        double[] ordered = IntStream.range(0, CODES).mapToDouble(type::value).sorted().toArray();
        for (int from = 0; from < CODES; from++) {
            long rose = 0, fell = 0;
            for (int to = 0; to < CODES; to++) {
                rose += to > from ? counts[from][to] : 0;
                fell += to < from ? counts[from][to] : 0;
            }
            values.add(String.format(Locale.ROOT, "%.2f", ordered[from]) + (from > 0 && ordered[from] == ordered[from - 1] ? "'" : ""));
            up.add(weights(from) == 0 ? 0 : 100.0 * rose / weights(from));
            down.add(weights(from) == 0 ? 0 : 100.0 * fell / weights(from));
        }
        CategoryChart chart = new CategoryChartBuilder().width(640).height(340).title("Codes that flipped in " + module).xAxisTitle("value before").yAxisTitle("percent of its weights").build();
        ChartStyle.apply(chart.getStyler());
        chart.addSeries("to a higher value", values, up);
        chart.addSeries("to a lower value", values, down);
        return chart;
    }

    /** Such as {@code model.layers.0.self_attn.q_proj: 12.3% of the codes flipped, 11.9% to a neighbour; 98.0% of the scales are others}. */
    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%s: %.1f%% of the codes flipped, %.1f%% to a neighbour; %.1f%% of the scales are others", module, 100 * flipped(), 100 * toNeighbour(), 100 * otherScales);
    }
}
