package jqlora.quant;

import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import jqlora.Oracle;
import jqlora.format.SafetensorsFile;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The 8-bit second level; whole tensors with it are in {@link FourBitOracleTest}. */
class DoubleQuantizationTest {
    private static float[] absmax(int count) {
        Random random = new Random(count);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = 0.05f + 0.01f * random.nextFloat();
        }
        return values;
    }

    private static float[] restored(Absmax absmax, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = absmax.get(i);
        }
        return values;
    }

    @Test
    void mapsOfBitsAndBytes() throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(Oracle.path("optimizers/dynamic_maps.safetensors"))) {
            assertSameBits("signed map", DynamicMap.signed().values(), file.get("signed").toFloats());
            assertSameBits("unsigned map", DynamicMap.unsigned().values(), file.get("unsigned").toFloats());
        }
    }

    /** With a mean of 0 the second level is bitsandbytes' blockwise 8-bit quantization. */
    @Test
    void codesOfBitsAndBytes() throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(Oracle.path("optimizers/blockwise8.safetensors")); Arena arena = Arena.ofConfined()) {
            float[] x = file.get("x").toFloats();
            Absmax.Nested nested = DoubleQuantization.quantize(x, 0, arena);
            assertSameBits("8-bit map", nested.map().values(), file.get("code").toFloats());
            assertEquals(-1, nested.scales().mismatch(file.get("absmax").data()), "absmax");
            assertEquals(-1, nested.codes().mismatch(file.get("q").data()), "codes");
            assertSameBits("decoded", restored(nested, x.length), file.get("dequantized").toFloats());
        }
    }

    /** Half the widest step of the map, 0.9 / 64, of the largest deviation in 256 neighbours; a little for the sum in float32. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 255, 256, 257, 512, 1000, 5001})
    void restoresWithinHalfAStep(int count) {
        float[] values = absmax(count);
        try (Arena arena = Arena.ofConfined()) {
            Absmax.Nested nested = DoubleQuantization.quantize(values, arena);
            assertEquals(count + 4 * Math.ceilDiv(count, 256), nested.byteSize());
            for (int block = 0; block < count; block += 256) {
                int to = Math.min(count, block + 256);
                double largest = IntStream.range(block, to).mapToDouble(i -> Math.abs(values[i] - nested.offset())).max().orElseThrow();
                for (int i = block; i < to; i++) {
                    assertTrue(Math.abs(nested.get(i) - values[i]) <= largest * 0.9 / 128 + 0x1p-23 * values[i], "absmax " + i + " of " + values[i] + " came back as " + nested.get(i));
                }
            }
        }
    }

    /** The 256 values that share a scale do not depend on others, once the mean is given. */
    @Test
    void groupsAreIndependent() {
        float[] values = absmax(700);
        try (Arena arena = Arena.ofConfined()) {
            Absmax.Nested whole = DoubleQuantization.quantize(values, 0.0525f, arena);
            for (int first = 0; first < values.length; first += 256) {
                float[] part = Arrays.copyOfRange(values, first, Math.min(values.length, first + 256));
                Absmax.Nested alone = DoubleQuantization.quantize(part, 0.0525f, arena);
                assertEquals(-1, whole.codes().asSlice(first, part.length).mismatch(alone.codes()), "codes from " + first);
                assertEquals(alone.scales().get(TensorView.FLOAT, 0), whole.scales().get(TensorView.FLOAT, first / 256 * 4), "scale of the group from " + first);
            }
        }
    }

    @Test
    void equalValuesComeBackExactly() {
        try (Arena arena = Arena.ofConfined()) {
            for (int count : new int[] {1, 64, 300}) {
                float[] values = new float[count];
                Arrays.fill(values, 0.25f);
                assertSameBits(count + " equal values", restored(DoubleQuantization.quantize(values, arena), count), values);
            }
            assertEquals(0, DoubleQuantization.quantize(new float[0], arena).byteSize());
        }
    }

    // ---- the map

    /** bitsandbytes' binary search ends at the nearest of the 256 values, for every map and beyond both ends. */
    @Test
    void encodesToTheNearest() {
        Random random = new Random(2);
        for (DynamicMap map : new DynamicMap[] {DynamicMap.signed(), DynamicMap.unsigned()}) {
            float[] values = map.values();
            for (int i = 0; i < 20_000; i++) {
                float x = (float) (random.nextInt(2) == 0 ? random.nextDouble(-1.2, 1.2) : Math.pow(10, random.nextDouble(-9, 0)) * (random.nextBoolean() ? 1 : -1));
                double nearest = Double.POSITIVE_INFINITY;
                for (float value : values) {
                    nearest = Math.min(nearest, Math.abs((double) value - x));
                }
                assertEquals(nearest, Math.abs((double) map.value(map.encode(x)) - x), 0x1p-25 * Math.abs(x), "code of " + x);
            }
            for (int code = 0; code < 256; code++) {
                assertEquals(code, map.encode(values[code]), "the code of a value of the map");
            }
        }
    }

    @Test
    void theTableOfBoundsIsTheBinarySearch() {
        Random random = new Random(5);
        for (DynamicMap map : List.of(DynamicMap.signed(), DynamicMap.unsigned())) {
            float[] values = map.values();
            for (int i = 0; i + 1 < values.length; i++) {
                float half = (values[i] + values[i + 1]) * 0.5f;
                for (float x : new float[] {values[i], half, Math.nextUp(half), Math.nextDown(half), values[i] + random.nextFloat() * (values[i + 1] - values[i])}) {
                    assertEquals(map.search(x), map.encode(x), () -> "code of " + x);
                }
            }
            for (float x : new float[] {-2, -1, 1, 2, 0f, -0f, Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, Float.MIN_VALUE}) {
                assertEquals(map.search(x), map.encode(x), () -> "code of " + x);
            }
        }
    }

    @Test
    void aMapHas256Values() {
        assertFails(IllegalArgumentException.class, () -> DynamicMap.of(new float[255]), "8-bit map has 255 values, it must have 256");
        float[] values = DynamicMap.signed().values();
        DynamicMap copy = DynamicMap.of(values);
        values[0] = 5;
        assertEquals(DynamicMap.signed().value(0), copy.value(0), "a map keeps its own values");
    }
}
