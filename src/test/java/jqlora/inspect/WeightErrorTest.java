package jqlora.inspect;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Test;

class WeightErrorTest {
    private static TensorView bell(int rows, int columns) {
        Random random = new Random(5);
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return TensorView.ofFloats(values, rows, columns);
    }

    @Test
    void theErrorIsMeasuredAgainstTheExactNumbers() {
        WeightError error = WeightError.of("some", new float[] {3, 4}, new float[] {3, 3.5f}, 5);
        assertEquals(new WeightError("some", 0.1, 0.5, 5), error);
        assertEquals(0, WeightError.of("zeros", new float[2], new float[2], 1).relative());
        assertFails(IllegalArgumentException.class, () -> WeightError.of("", new float[2], new float[3], 1),
                "weight error: 2 exact numbers, but 3 that were read back; they must be as many");
    }

    @Test
    void largerBlocksTakeFewerBitsAndEightBitsAreMoreExact() {
        TensorView weight = bell(64, 256);
        double before = 0;
        for (int size = 32; size <= 4096; size *= 2) {
            FourBitFormat format = FourBitFormat.defaults().withDoubleQuantization(false).withBlockSize(size);
            WeightError error = WeightError.of(weight, format);
            assertEquals(format.toString(), error.storage());
            assertEquals(4 + 32.0 / size, error.bits());
            assertTrue(error.relative() > before, size + ": " + error);
            before = error.relative();
        }
        WeightError eight = WeightError.ofInt8(weight);
        assertEquals(8 + 32.0 / 256, eight.bits());
        assertTrue(eight.relative() < WeightError.of(weight, FourBitFormat.defaults()).relative() / 10, eight.toString());
        assertClose("a third of half a step, over rows", eight.relative(), 0.0063, 0, 0.001);
    }
}
