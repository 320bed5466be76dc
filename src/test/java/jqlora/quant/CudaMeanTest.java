package jqlora.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The order of the additions, told thread by thread; that the GPU adds in this order is what the nested files of {@link FourBitOracleTest} show. */
class CudaMeanTest {
    private static float[] random(int n, long seed) {
        Random random = new Random(seed);
        float[] x = new float[n];
        for (int i = 0; i < n; i++) {
            x[i] = (float) Math.exp(random.nextGaussian());
        }
        return x;
    }

    /** One thread block: up to 127 elements one after the other, from 128 on four at a time. */
    private static float told(float[] x) {
        boolean byFours = x.length >= 128;
        int units = byFours ? x.length / 4 : x.length;
        int threads = Integer.highestOneBit(Math.min(512, units));
        float[] sums = new float[threads];
        for (int thread = 0; thread < threads; thread++) {
            float[] lanes = new float[4];
            for (int unit = thread, turn = 0; unit < units; unit += threads, turn++) {
                for (int lane = 0; lane < 4; lane++) {
                    if (byFours || turn % 4 == lane) {
                        lanes[lane] += x[byFours ? 4 * unit + lane : unit];
                    }
                }
            }
            if (byFours && thread < x.length % 4) {
                lanes[0] += x[4 * units + thread];
            }
            sums[thread] = lanes[0] + lanes[1] + lanes[2] + lanes[3];
        }
        for (int half = threads / 2; half > 0; half /= 2) {
            for (int thread = 0; thread < half; thread++) {
                sums[thread] += sums[thread + half];
            }
        }
        return sums[0] * (float) (1.0 / x.length);
    }

    @Test
    void upToOneThreadBlock() {
        IntStream.concat(IntStream.rangeClosed(1, 300), IntStream.of(511, 512, 1023, 1024, 1025, 2047, 2048, 4099, 16_384, 65_537, 131_071)).forEach(n -> {
            float[] x = random(n, n);
            assertEquals(told(x), CudaMean.of(x), () -> n + " elements");
        });
    }

    /** Several thread blocks: within the rounding of a tree of additions of the exact mean, and far nearer than one sum from left to right. */
    @ParameterizedTest
    @ValueSource(ints = {131_072, 131_073, 400_003})
    void severalThreadBlocks(int n) {
        float[] x = random(n, n);
        double exact = 0;
        for (float value : x) {
            exact += value;
        }
        assertTrue(Math.abs(CudaMean.of(x) - exact / n) <= 8 * 0x1p-24 * exact / n, n + " elements: " + CudaMean.of(x) + ", exact " + exact / n);
    }

    /** Small whole numbers: every sum is exact, so an element left out or added twice would show, however the blocks are laid. */
    @ParameterizedTest
    @ValueSource(ints = {1, 127, 128, 511, 2051, 131_071, 131_072, 131_075, 1_048_577})
    void everyElementOnce(int n) {
        float[] x = new float[n];
        long sum = 0;
        for (int i = 0; i < n; i++) {
            x[i] = i % 4;
            sum += i % 4;
        }
        assertEquals(sum * (float) (1.0 / n), CudaMean.of(x));
    }
}
