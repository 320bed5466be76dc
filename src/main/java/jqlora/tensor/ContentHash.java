package jqlora.tensor;

import java.lang.foreign.MemorySegment;

/**
 * XXH64 of bytes in memory: tells contents apart that differ by accident, at the speed of memory. It is no defence against a forger.
 *
 * @see <a href="https://github.com/Cyan4973/xxHash/blob/v0.8.3/doc/xxhash_spec.md">xxHash fast digest algorithm, XXH64</a>
 */
public final class ContentHash {
    /** Bytes that one thread takes at a time; part of what {@link #of(MemorySegment, Workers)} gives. */
    private static final long CHUNK = 1 << 20;
    private static final int STRIPE = 32, WORDS_OF_STRIPE = 4;
    /** Words that are copied at a time: they stay in the first cache. */
    private static final int PIECE = 1024;
    private static final long P1 = 0x9E3779B185EBCA87L, P2 = 0xC2B2AE3D27D4EB4FL, P3 = 0x165667B19E3779F9L, P4 = 0x85EBCA77C2B2AE63L,
            P5 = 0x27D4EB2F165667C5L;

    private ContentHash() { }

    /** XXH64 of {@code bytes} with seed 0. */
    public static long of(MemorySegment bytes) {
        long size = bytes.byteSize(), words = size / STRIPE * WORDS_OF_STRIPE, hash = P5;
        if (words > 0) {
            // the loop runs over an array of its own: over a segment it is slow where the same code has met segments of several kinds
            long[] piece = new long[(int) Math.min(PIECE, words)];
            long a = P1 + P2, b = P2, c = 0, d = -P1;
            for (long done = 0; done < words; done += piece.length) {
                int count = (int) Math.min(piece.length, words - done);
                MemorySegment.copy(bytes, TensorView.LONG, done * Long.BYTES, piece, 0, count);
                for (int i = 0; i < count; i += WORDS_OF_STRIPE) {
                    a = round(a, piece[i]);
                    b = round(b, piece[i + 1]);
                    c = round(c, piece[i + 2]);
                    d = round(d, piece[i + 3]);
                }
            }
            hash = Long.rotateLeft(a, 1) + Long.rotateLeft(b, 7) + Long.rotateLeft(c, 12) + Long.rotateLeft(d, 18);
            hash = merge(merge(merge(merge(hash, a), b), c), d);
        }
        return finish(tail(hash + size, bytes, words * Long.BYTES));
    }

    /**
     * XXH64 of the hashes of {@code bytes}' pieces of 1 MiB, on all of {@code workers}; it does not depend on how many they are. Bytes of one piece
     * have the same hash as by {@link #of(MemorySegment)}.
     */
    public static long of(MemorySegment bytes, Workers workers) {
        if (bytes.byteSize() <= CHUNK) {
            return of(bytes);
        }
        int chunks = Math.toIntExact(Math.ceilDiv(bytes.byteSize(), CHUNK));
        MemorySegment hashes = MemorySegment.ofArray(new byte[Math.multiplyExact(chunks, Long.BYTES)]);
        workers.run(chunks, chunk -> {
            long from = chunk * CHUNK;
            hashes.setAtIndex(TensorView.LONG, chunk, of(bytes.asSlice(from, Math.min(CHUNK, bytes.byteSize() - from))));
        });
        return of(hashes);
    }

    private static long round(long lane, long word) {
        return Long.rotateLeft(lane + word * P2, 31) * P1;
    }

    private static long merge(long hash, long lane) {
        return (hash ^ round(0, lane)) * P1 + P4;
    }

    private static long tail(long start, MemorySegment bytes, long from) {
        long hash = start, at = from, size = bytes.byteSize();
        for (; at + 8 <= size; at += 8) {
            hash = Long.rotateLeft(hash ^ round(0, bytes.get(TensorView.LONG, at)), 27) * P1 + P4;
        }
        if (at + 4 <= size) {
            hash = Long.rotateLeft(hash ^ Integer.toUnsignedLong(bytes.get(TensorView.INT, at)) * P1, 23) * P2 + P3;
            at += 4;
        }
        for (; at < size; at++) {
            hash = Long.rotateLeft(hash ^ (bytes.get(TensorView.BYTE, at) & 0xff) * P5, 11) * P1;
        }
        return hash;
    }

    private static long finish(long hash) {
        long mixed = (hash ^ hash >>> 33) * P2;
        mixed = (mixed ^ mixed >>> 29) * P3;
        return mixed ^ mixed >>> 32;
    }
}
