package jqlora.ops.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.HashSet;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;
import jqlora.ops.MemoryUse;

/**
 * Memory outside the Java heap that is reused: a training step asks for the same sizes again and again, and fresh pages from the
 * system cost more than the arithmetic on them.
 */
final class MemoryPool implements AutoCloseable {
    private static final long ALIGNMENT = 64;
    private static final double LARGEST_FIT = 1.5;                // a free block may be this much larger than what is asked for
    private static final double LARGEST_RESERVE = 1.25;           // of the peak in use; beyond it free blocks go back to the system

    /** A piece of memory, at least as long as what was asked for. */
    static final class Block {
        private final Arena arena;
        private final MemorySegment whole;
        private long bytes;

        private Block(long capacity) {
            arena = Arena.ofShared();
            whole = arena.allocate(capacity, ALIGNMENT);
        }

        /** As long as what was asked for. */
        MemorySegment segment() {
            return whole.asSlice(0, bytes);
        }

        private long capacity() {
            return whole.byteSize();
        }
    }

    private final NavigableMap<Long, ArrayDeque<Block>> free = new TreeMap<>();
    private final Set<Block> taken = new HashSet<>();
    private long inUse;
    private long peak;
    private long reserved;
    private boolean closed;

    synchronized Block take(long bytes) {
        if (closed) {
            throw new IllegalStateException("cpu: the backend is closed");
        }
        long wanted = roundUp(Math.max(bytes, 1));
        Block block = poll(wanted);
        if (block == null) {
            trim((long) (LARGEST_RESERVE * Math.max(peak, inUse + bytes)) - wanted);
            block = new Block(wanted);
            reserved += wanted;
        }
        block.bytes = bytes;
        taken.add(block);
        inUse += bytes;
        peak = Math.max(peak, inUse);
        return block;
    }

    synchronized void giveBack(Block block) {
        if (!taken.remove(block)) {
            return;                                               // the pool was closed first
        }
        inUse -= block.bytes;
        free.computeIfAbsent(block.capacity(), size -> new ArrayDeque<>()).push(block);
    }

    private Block poll(long wanted) {
        Map.Entry<Long, ArrayDeque<Block>> entry = free.ceilingEntry(wanted);
        return entry == null || entry.getKey() > LARGEST_FIT * wanted ? null : remove(entry);
    }

    private Block remove(Map.Entry<Long, ArrayDeque<Block>> entry) {
        Block block = entry.getValue().pop();
        if (entry.getValue().isEmpty()) {
            free.remove(entry.getKey());
        }
        return block;
    }

    private void trim(long target) {
        while (reserved > target && !free.isEmpty()) {
            Block block = remove(free.lastEntry());
            reserved -= block.capacity();
            block.arena.close();
        }
    }

    /** Steps of an eighth of the power of two below, so that nearly equal sizes share blocks. */
    private static long roundUp(long bytes) {
        long step = Math.max(ALIGNMENT, Long.highestOneBit(bytes) / 8);
        return Math.ceilDiv(bytes, step) * step;
    }

    synchronized MemoryUse use() {
        return new MemoryUse(inUse, peak, reserved, Long.MAX_VALUE, 0);
    }

    synchronized void resetPeak() {
        peak = inUse;
    }

    /** Frees all blocks, those that are taken included. */
    @Override
    public synchronized void close() {
        closed = true;
        free.values().forEach(blocks -> blocks.forEach(block -> block.arena.close()));
        free.clear();
        taken.forEach(block -> block.arena.close());
        taken.clear();
        inUse = 0;
        reserved = 0;
    }
}
