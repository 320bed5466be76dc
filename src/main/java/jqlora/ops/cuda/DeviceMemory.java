package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.CUDA_ERROR_OUT_OF_MEMORY;
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
import java.util.function.BooleanSupplier;
import jqlora.ops.MemoryUse;
import org.bytedeco.cuda.cudart.CUmemAccessDesc_v1;
import org.bytedeco.cuda.cudart.CUmemAllocationProp_v1;
import org.bytedeco.javacpp.Pointer;

/**
 * The device's memory as one range of addresses that grows at its end, so that no gap between pieces is lost. Blocks are of 512 bytes; the smallest
 * free one that is large enough is taken. After the first step of a training nothing is asked of the driver any more.
 */
final class DeviceMemory implements AutoCloseable {
    private static final long ALIGNMENT = 512;
    private static final long GROWTH = 128L << 20, GRANULARITY = 2L << 20;

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
    private final Map<Long, Piece> apart = new HashMap<>();
    private BooleanSupplier reclaim = () -> false;
    private List<Long> kept;
    private long mapped, atEnd, inUse, peak;

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
        if (kept != null) {
            kept.add(address);
            return;
        }
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
        long free = last != null && last.getValue().address + last.getValue().size == base + atEnd ? last.getValue().size : 0;
        long wanted = Math.ceilDiv(size - free, GROWTH) * GROWTH;
        device.bind();
        while (mapped + wanted > budget) {
            if (!reclaim.getAsBoolean()) {
                throw exhausted(size, null);
            }
        }
        Piece piece = map(base + atEnd, wanted);
        while (piece == null) {
            if (!reclaim.getAsBoolean()) {
                throw exhausted(size, CudaDevice.failure("cuMemCreate", CUDA_ERROR_OUT_OF_MEMORY));
            }
            piece = map(base + atEnd, wanted);
        }
        pieces.add(piece);
        atEnd += wanted;
        taken.put(piece.address, wanted);
        giveBack(piece.address);
    }

    /** Gives {@code bytes} of the device's memory the address {@code at}; null if the device has no more. */
    private Piece map(long at, long bytes) {
        try (CUmemAllocationProp_v1 properties = new CUmemAllocationProp_v1(); CUmemAccessDesc_v1 access = new CUmemAccessDesc_v1()) {
            Pointer.memset(properties, 0, properties.sizeof());
            properties.type(CU_MEM_ALLOCATION_TYPE_PINNED);
            properties.location().type(CU_MEM_LOCATION_TYPE_DEVICE).id(device.ordinal());
            long[] handle = new long[1];
            int code = cuMemCreate(handle, bytes, properties, 0);
            if (code == CUDA_ERROR_OUT_OF_MEMORY) {
                return null;
            }
            CudaDevice.check("cuMemCreate", code);
            CudaDevice.check("cuMemMap", cuMemMap(at, bytes, 0, handle[0], 0));
            access.location().type(CU_MEM_LOCATION_TYPE_DEVICE).id(device.ordinal());
            access.flags(CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
            CudaDevice.check("cuMemSetAccess", cuMemSetAccess(at, bytes, access, 1));
            mapped += bytes;
            return new Piece(handle[0], at, bytes);
        }
    }

    private void unmap(Piece piece) {
        CudaDevice.check("cuMemUnmap", cuMemUnmap(piece.address, piece.size));
        CudaDevice.check("cuMemRelease", cuMemRelease(piece.handle));
        mapped -= piece.size;
    }

    /** From now on what is given back is kept: recorded work will use it again. */
    void keep() {
        kept = new ArrayList<>();
    }

    /** The end of {@link #keep}: the addresses that were kept, for {@link #giveBack}. */
    List<Long> kept() {
        List<Long> addresses = kept;
        kept = null;
        return addresses;
    }

    // ---- what can be done without

    /** @param reclaim gives back something that was taken apart; false if there is nothing */
    void onShortage(BooleanSupplier reclaim) {
        this.reclaim = reclaim;
    }

    /** Memory in a range of its own, for what may be given back when memory is short; 0 if the budget leaves none. */
    long takeApart(long bytes) {
        long size = Math.ceilDiv(bytes, GRANULARITY) * GRANULARITY;
        if (mapped + size > budget) {
            return 0;
        }
        device.bind();
        long[] address = new long[1];
        CudaDevice.check("cuMemAddressReserve", cuMemAddressReserve(address, size, 0, 0, 0));
        Piece piece = map(address[0], size);
        if (piece == null) {
            CudaDevice.check("cuMemAddressFree", cuMemAddressFree(address[0], size));
            return 0;
        }
        apart.put(address[0], piece);
        return address[0];
    }

    /** Waits until nothing uses it, and gives it back to the device. */
    void giveBackApart(long address) {
        device.synchronize();
        Piece piece = apart.remove(address);
        unmap(piece);
        CudaDevice.check("cuMemAddressFree", cuMemAddressFree(address, piece.size));
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

    @Override
    public void close() {
        device.synchronize();
        pieces.forEach(this::unmap);
        CudaDevice.check("cuMemAddressFree", cuMemAddressFree(base, reservedRange));
    }
}
