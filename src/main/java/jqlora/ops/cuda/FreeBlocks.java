package jqlora.ops.cuda;

import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** Which parts of a range of addresses are free. Blocks are of 512 bytes; the smallest free one that is large enough is taken. */
final class FreeBlocks {
    private static final long ALIGNMENT = 512;

    private record Block(long address, long size) {
        long end() {
            return address + size;
        }
    }

    private final TreeMap<Long, Block> freeByAddress;
    private final TreeSet<Block> freeBySize;
    private final Map<Long, Long> taken;

    FreeBlocks() {
        this(new TreeMap<>(), new TreeSet<>(Comparator.comparingLong(Block::size).thenComparingLong(Block::address)), new HashMap<>());
    }

    private FreeBlocks(TreeMap<Long, Block> freeByAddress, TreeSet<Block> freeBySize, Map<Long, Long> taken) {
        this.freeByAddress = freeByAddress;
        this.freeBySize = freeBySize;
        this.taken = taken;
    }

    FreeBlocks copy() {
        return new FreeBlocks(new TreeMap<>(freeByAddress), new TreeSet<>(freeBySize), new HashMap<>(taken));
    }

    /** What is taken for {@code bytes}. */
    static long sizeFor(long bytes) {
        return Math.max(ALIGNMENT, Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT);
    }

    /** The address of a block for {@code bytes}; -1 if no free one is large enough. */
    long take(long bytes) {
        long size = sizeFor(bytes);
        Block block = freeBySize.ceiling(new Block(0, size));
        if (block == null) {
            return -1;
        }
        remove(block);
        if (block.size > size) {
            add(new Block(block.address + size, block.size - size));
        }
        taken.put(block.address, size);
        return block.address;
    }

    void giveBack(long address) {
        addFree(address, taken.remove(address));
    }

    /** Adds what was not in the range before, or gives back. */
    void addFree(long address, long size) {
        Map.Entry<Long, Block> before = freeByAddress.lowerEntry(address), after = freeByAddress.higherEntry(address);
        long from = address, to = address + size;
        if (before != null && before.getValue().end() == from) {
            from = before.getValue().address;
            remove(before.getValue());
        }
        if (after != null && after.getKey() == to) {
            to = after.getValue().end();
            remove(after.getValue());
        }
        add(new Block(from, to - from));
    }

    /** Bytes of the free block that ends at {@code end}; 0 if there is none. */
    long freeBefore(long end) {
        Map.Entry<Long, Block> last = freeByAddress.lastEntry();
        return last != null && last.getValue().end() == end ? last.getValue().size : 0;
    }

    private void add(Block block) {
        freeByAddress.put(block.address, block);
        freeBySize.add(block);
    }

    private void remove(Block block) {
        freeByAddress.remove(block.address);
        freeBySize.remove(block);
    }
}
