package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
import static org.bytedeco.cuda.global.cudart.CU_MEM_ALLOCATION_TYPE_PINNED;
import static org.bytedeco.cuda.global.cudart.CU_MEM_LOCATION_TYPE_DEVICE;
import static org.bytedeco.cuda.global.cudart.cuMemAddressFree;
import static org.bytedeco.cuda.global.cudart.cuMemAddressReserve;
import static org.bytedeco.cuda.global.cudart.cuMemCreate;
import static org.bytedeco.cuda.global.cudart.cuMemMap;
import static org.bytedeco.cuda.global.cudart.cuMemRelease;
import static org.bytedeco.cuda.global.cudart.cuMemSetAccess;
import static org.bytedeco.cuda.global.cudart.cuMemUnmap;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import jqlora.ops.MemoryUse;
import org.bytedeco.cuda.cudart.CUmemAccessDesc_v1;
import org.bytedeco.cuda.cudart.CUmemAllocationProp_v1;

/**
 * The device's memory as one range of addresses that grows at its end, so that no gap between pieces is lost. Blocks are of 512 bytes; the smallest
 * free one that is large enough is taken. After the first step of a training nothing is asked of the driver any more.
 */
final class DeviceMemory implements AutoCloseable {
    private static final long ALIGNMENT = 512;
    private static final long GROWTH = 128L << 20;

    private record Block(long address, long size) { }

    private record Piece(long handle, long address, long size) { }

    private final CudaDevice device;
    private final long budget;
    private final long reservedRange;
    private final long base;
    private final List<Piece> pieces = new ArrayList<>();
    private final TreeMap<Long, Block> freeByAddress = new TreeMap<>();
    private final TreeSet<Block> freeBySize = new TreeSet<>(Comparator.comparingLong(Block::size).thenComparingLong(Block::address));
    private final Map<Long, Long> taken = new HashMap<>();
    private long mapped, inUse, peak;

    /** @param budget the most bytes that are taken from the device */
    DeviceMemory(CudaDevice device, long budget) {
        this.device = device;
        this.budget = budget / GROWTH * GROWTH;
        if (this.budget == 0) {
            throw new CudaException("CUDA: the memory budget is " + budget + " bytes on " + device + ", it must be at least " + GROWTH);
        }
        device.bind();
        reservedRange = this.budget;
        long[] address = new long[1];
        CudaDevice.check("cuMemAddressReserve", cuMemAddressReserve(address, reservedRange, 0, 0, 0));
        base = address[0];
    }

    /** The address of at least {@code bytes} bytes, a multiple of 512. */
    long take(long bytes) {
        long size = Math.max(ALIGNMENT, Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT);
        Block block = freeBySize.ceiling(new Block(0, size));
        if (block == null) {
            grow(size);
            block = freeBySize.ceiling(new Block(0, size));
        }
        remove(block);
        if (block.size > size) {
            add(new Block(block.address + size, block.size - size));
        }
        taken.put(block.address, size);
        return block.address;
    }

    /** Gives a block back; what was given to the stream before may still use it. */
    void giveBack(long address) {
        long size = taken.remove(address);
        Map.Entry<Long, Block> before = freeByAddress.lowerEntry(address), after = freeByAddress.higherEntry(address);
        long from = address, to = address + size;
        if (before != null && before.getValue().address + before.getValue().size == from) {
            from = before.getValue().address;
            remove(before.getValue());
        }
        if (after != null && after.getKey() == to) {
            to = after.getValue().address + after.getValue().size;
            remove(after.getValue());
        }
        add(new Block(from, to - from));
    }

    private void add(Block block) {
        freeByAddress.put(block.address, block);
        freeBySize.add(block);
    }

    private void remove(Block block) {
        freeByAddress.remove(block.address);
        freeBySize.remove(block);
    }

    private void grow(long size) {
        Map.Entry<Long, Block> last = freeByAddress.lastEntry();
        long atEnd = last != null && last.getValue().address + last.getValue().size == base + mapped ? last.getValue().size : 0;
        long wanted = Math.ceilDiv(size - atEnd, GROWTH) * GROWTH;
        if (mapped + wanted > budget) {
            throw exhausted(size, null);
        }
        device.bind();
        try (CUmemAllocationProp_v1 properties = new CUmemAllocationProp_v1(); CUmemAccessDesc_v1 access = new CUmemAccessDesc_v1()) {
            org.bytedeco.javacpp.Pointer.memset(properties, 0, properties.sizeof());
            properties.type(CU_MEM_ALLOCATION_TYPE_PINNED);
            properties.location().type(CU_MEM_LOCATION_TYPE_DEVICE).id(device.ordinal());
            long[] handle = new long[1];
            int code = cuMemCreate(handle, wanted, properties, 0);
            if (code != 0) {
                throw exhausted(size, CudaDevice.failure("cuMemCreate", code));
            }
            long at = base + mapped;
            CudaDevice.check("cuMemMap", cuMemMap(at, wanted, 0, handle[0], 0));
            access.location().type(CU_MEM_LOCATION_TYPE_DEVICE).id(device.ordinal());
            access.flags(CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
            CudaDevice.check("cuMemSetAccess", cuMemSetAccess(at, wanted, access, 1));
            pieces.add(new Piece(handle[0], at, wanted));
            mapped += wanted;
            taken.put(at, wanted);
            giveBack(at);
        }
    }

    private CudaException exhausted(long size, CudaException cause) {
        String message = "CUDA: " + size + " bytes are wanted on " + device + ", " + inUse + " are in use by tensors and " + mapped + " of a budget of " + budget
                + " are taken; a smaller batch, a smaller activation budget or fewer resident weights take less";
        CudaException failure = new CudaException(cause == null ? message : message + " (" + cause.getMessage() + ")");
        if (cause != null) {
            failure.initCause(cause);
        }
        return failure;
    }

    /** Counts a tensor's bytes; minus for one that is closed. */
    void count(long bytes) {
        inUse += bytes;
        peak = Math.max(peak, inUse);
    }

    MemoryUse use() {
        return new MemoryUse(inUse, peak, mapped);
    }

    void resetPeak() {
        peak = inUse;
    }

    /** Bytes that may still be taken. */
    long available() {
        return budget - mapped + freeBySize.stream().mapToLong(Block::size).sum();
    }

    @Override
    public void close() {
        device.synchronize();
        for (Piece piece : pieces) {
            CudaDevice.check("cuMemUnmap", cuMemUnmap(piece.address, piece.size));
            CudaDevice.check("cuMemRelease", cuMemRelease(piece.handle));
        }
        CudaDevice.check("cuMemAddressFree", cuMemAddressFree(base, reservedRange));
    }
}
