package jqlora.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ContentHashTest {
    /** Made with the xxhash package of Python, {@code xxh64_hexdigest}. */
    @ParameterizedTest
    @CsvSource({"'', ef46db3751d8e999", "a, d24ec4f1a98c6e5b", "abc, 44bc2cf5ad770999", "xxhash, 32dd38952c4bc720",
        "Nobody inspects the spammish repetition, fbcea83c8a378bf1",
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789, f80e7b96315afffa"})
    void isXxh64(String text, String expected) {
        assertEquals(expected, String.format("%016x", ContentHash.of(MemorySegment.ofArray(text.getBytes(StandardCharsets.UTF_8)))));
    }

    /** As {@code xxhash.xxh64(bytes(i * 7 % 251 for i in range(30011)))}: more than one piece, and a tail. */
    @Test
    void isXxh64OfManyBytes() {
        byte[] bytes = new byte[30011];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (i * 7 % 251);
        }
        assertEquals("968ba2581783483a", String.format("%016x", ContentHash.of(MemorySegment.ofArray(bytes))));
    }

    @Test
    void theNumberOfThreadsDoesNotMatterAndEveryByteDoes() {
        byte[] bytes = new byte[(3 << 20) + 5];
        new Random(1).nextBytes(bytes);
        MemorySegment segment = MemorySegment.ofArray(bytes);
        try (Workers one = new Workers(1); Workers three = new Workers(3)) {
            long hash = ContentHash.of(segment, one);
            assertEquals(hash, ContentHash.of(segment, three));
            for (int at : new int[] {0, 31, 1 << 20, (2 << 20) + 17, bytes.length - 1}) {
                bytes[at] ^= 1;
                assertNotEquals(hash, ContentHash.of(segment, three), "byte " + at);
                bytes[at] ^= 1;
            }
            assertNotEquals(hash, ContentHash.of(segment.asSlice(0, bytes.length - 1), three));
        }
    }
}
