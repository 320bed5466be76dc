package jqlora.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import jqlora.Oracle;
import org.junit.jupiter.api.Test;

class CudaReciprocalTest {
    private static final int SEGMENT = 1 << 16, EVERY = 1 << 12, ONE = 0x3f800000;

    private static int bits(float value) {
        return Float.floatToRawIntBits(value);
    }

    /** What an H200 gave; the segments are those of the interpolation, so a wrong coefficient fails with its number. */
    @Test
    void allMantissas() throws IOException, NoSuchAlgorithmException {
        List<String> lines = Files.readAllLines(Oracle.fixture("quant/reciprocal.txt"));
        assertEquals(1 << 23, lines.size() * SEGMENT, "mantissas in the fixture");
        MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
        for (int segment = 0; segment < lines.size(); segment++) {
            String[] parts = lines.get(segment).split(" ");
            ByteBuffer results = ByteBuffer.allocate(4 * SEGMENT).order(ByteOrder.LITTLE_ENDIAN);
            for (int i = 0; i < SEGMENT; i++) {
                results.putInt(bits(CudaReciprocal.of(Float.intBitsToFloat(ONE | segment * SEGMENT + i))));
            }
            for (int i = 0; i < SEGMENT; i += EVERY) {
                assertEquals(parts[1 + i / EVERY], HexFormat.of().toHexDigits(results.getInt(4 * i)), "1 / " + Float.intBitsToFloat(ONE | segment * SEGMENT + i));
            }
            assertEquals(parts[0], HexFormat.of().formatHex(sha256.digest(results.array())), "segment " + segment);
        }
    }

    /** The mantissa of the result does not depend on the exponent; below the normal range the result is zero. */
    @Test
    void everyExponent() {
        for (int mantissa : new int[] {0, 1, 2, 0x123456, 0x400000, 0x555555, 0x7ffffe, 0x7fffff}) {
            float ofOne = CudaReciprocal.of(Float.intBitsToFloat(ONE | mantissa));
            for (int exponent = Float.MIN_EXPONENT; exponent <= Float.MAX_EXPONENT; exponent++) {
                float x = Math.scalb(Float.intBitsToFloat(ONE | mantissa), exponent);
                float expected = Math.scalb(ofOne, -exponent);
                assertEquals(bits(expected < Float.MIN_NORMAL ? 0f : expected), bits(CudaReciprocal.of(x)), () -> "1 / " + Float.toHexString(x));
            }
        }
    }

    @Test
    void outsideTheNormalRange() {
        for (float x : new float[] {0f, -0f, Float.MIN_VALUE, Math.nextDown(Float.MIN_NORMAL)}) {
            assertEquals(Float.POSITIVE_INFINITY, CudaReciprocal.of(x), "1 / " + x);
        }
        assertEquals(bits(0f), bits(CudaReciprocal.of(Float.POSITIVE_INFINITY)));
        assertEquals(bits(0f), bits(CudaReciprocal.of(Float.MAX_VALUE)));
        assertEquals(Float.NaN, CudaReciprocal.of(Float.NaN));
    }
}
