package jqlora.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.fail;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class StochasticRoundingTest {
    private static final FourBitFormat NF4 = FourBitFormat.defaults().withDoubleQuantization(false);

    private static float[] weights(int count) {
        Random random = new Random(1);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static QuantizedTensor rounded(float[] values, FourBitFormat format, long seed, long stream, Arena arena) {
        return new StochasticRounding(seed, stream).quantize(TensorView.ofFloats(values, values.length).data(), Shape.of(values.length), format, arena);
    }

    private static byte[] codes(float[] values, FourBitFormat format, long seed, long stream) {
        try (Arena arena = Arena.ofConfined()) {
            return rounded(values, format, seed, stream, arena).codes().toArray(TensorView.BYTE);
        }
    }

    private static float[] decoded(QuantizedTensor tensor) {
        float[] values = new float[(int) tensor.shape().size()];
        new PlainFourBitCodec().dequantize(tensor, 0, values.length, values, 0);
        return values;
    }

    /** The same seed and stream give the same codes, however many tensors are rounded at once; another seed or stream gives others. */
    @Test
    void seedAndStreamSettleTheCodes() throws Exception {
        float[] values = weights(5001);
        byte[] expected = codes(values, NF4, 7, 3);
        try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
            List<Callable<byte[]>> tasks = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                tasks.add(() -> codes(values, NF4, 7, 3));
            }
            for (Future<byte[]> future : threads.invokeAll(tasks)) {
                assertEquals(-1, Arrays.mismatch(expected, future.get()));
            }
        }
        assertNotEquals(-1, Arrays.mismatch(expected, codes(values, NF4, 8, 3)), "another seed");
        assertNotEquals(-1, Arrays.mismatch(expected, codes(values, NF4, 7, 4)), "another stream");
    }

    /** A draw belongs to an element's number: what follows in the tensor, and the size of blocks of the same scale, change nothing. */
    @Test
    void drawsBelongToElements() {
        float[] values = weights(4096);
        for (int i = 0; i < values.length; i += 64) {
            values[i] = 5;                                                  // one scale for all blocks of any size
        }
        byte[] whole = codes(values, NF4, 7, 3);
        assertEquals(-1, Arrays.mismatch(Arrays.copyOf(whole, 640), codes(Arrays.copyOf(values, 1280), NF4, 7, 3)), "the first 1280 alone");
        for (int blockSize = 128; blockSize <= 4096; blockSize *= 2) {
            assertEquals(-1, Arrays.mismatch(whole, codes(values, NF4.withBlockSize(blockSize), 7, 3)), "blocks of " + blockSize);
        }
    }

    /** Never further than the code below or above, and on average the value itself: within five standard deviations of the mean. */
    @ParameterizedTest
    @EnumSource
    void rightOnAverageAndNeverPastANeighbour(FourBitType type) {
        for (boolean doubleQuantization : new boolean[] {false, true}) {
            FourBitFormat format = NF4.withType(type).withDoubleQuantization(doubleQuantization);
            int seeds = 800;
            float[] values = weights(97), ladder = type.codebook();
            Arrays.sort(ladder);
            double[] sums = new double[values.length];
            for (int seed = 0; seed < seeds; seed++) {
                try (Arena arena = Arena.ofConfined()) {
                    QuantizedTensor tensor = rounded(values, format, seed, 0, arena);
                    float[] decoded = decoded(tensor);
                    for (int i = 0; i < values.length; i++) {
                        double absmax = tensor.absmax().get(i / 64), clipped = Math.clamp(values[i], -absmax, absmax);
                        double below = below(ladder, clipped / absmax) * absmax, above = above(ladder, clipped / absmax) * absmax;
                        if (!(decoded[i] >= below - 1e-5 * absmax && decoded[i] <= above + 1e-5 * absmax)) {
                            fail(values[i] + " became " + decoded[i] + ", it must lie between " + below + " and " + above);
                        }
                        sums[i] += decoded[i] - clipped;
                        if (seed == seeds - 1) {
                            double share = above > below ? (clipped - below) / (above - below) : 0;
                            double sigma = (above - below) * Math.sqrt(Math.max(0, share * (1 - share)) / seeds);
                            assertEquals(0, sums[i] / seeds, 5 * sigma + 1e-5 * absmax, format + ": mean error of element " + i + ", " + values[i]);
                        }
                    }
                }
            }
        }
    }

    private static double below(float[] ladder, double x) {
        double found = ladder[0];
        for (float value : ladder) {
            found = value <= x + 1e-6 ? value : found;
        }
        return found;
    }

    private static double above(float[] ladder, double x) {
        for (float value : ladder) {
            if (value >= x - 1e-6) {
                return value;
            }
        }
        return ladder[ladder.length - 1];
    }

    /** A change much smaller than a step is lost to rounding to the nearest code, and kept in the mean of many weights here. */
    @Test
    void keepsTheMeanOfASmallChange() {
        int count = 64_000;
        float[] values = new float[count];
        float step = FourBitType.NF4.value(8), change = step / 20;
        Arrays.fill(values, change);
        for (int i = 0; i < count; i += 64) {
            values[i] = 1;
        }
        try (Arena arena = Arena.ofConfined()) {
            float[] ours = decoded(rounded(values, NF4, 1, 0, arena)), nearest = decoded(new PlainFourBitCodec().quantize(TensorView.ofFloats(values, count), NF4, arena));
            double kept = 0;
            for (int i = 0; i < count; i++) {
                assertEquals(i % 64 == 0 ? 1f : 0f, nearest[i]);
                kept += i % 64 == 0 ? 0 : ours[i];
            }
            assertEquals(change, kept / (count - count / 64), change / 20);
        }
    }

    /** The scales are those of ordinary quantization, and the half byte at the end holds the code of zero. */
    @ParameterizedTest
    @EnumSource
    void scalesAndEndAreThoseOfTheCodec(FourBitType type) {
        for (boolean doubleQuantization : new boolean[] {false, true}) {
            FourBitFormat format = NF4.withType(type).withDoubleQuantization(doubleQuantization);
            float[] values = weights(641);
            try (Arena arena = Arena.ofConfined()) {
                QuantizedTensor ours = rounded(values, format, 1, 0, arena), nearest = new PlainFourBitCodec().quantize(TensorView.ofFloats(values, 641), format, arena);
                for (int block = 0; block < format.blocks(641); block++) {
                    assertEquals(nearest.absmax().get(block), ours.absmax().get(block), "absmax of block " + block);
                }
                assertEquals(type.encode(0f), ours.codes().get(TensorView.BYTE, 320) & 15, "the unused half byte");
            }
        }
    }
}
