package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.cuMemFreeHost;
import static org.bytedeco.cuda.global.cudart.cuMemHostAlloc;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.bytedeco.javacpp.Pointer;

/**
 * Memory of the host that the device can copy to and from while it computes, in chunks of one size: whatever the sizes of what lies in it, no gap is
 * lost. Chunks that are given back are kept for the next time, for taking memory of this kind from the system is slow.
 */
final class PinnedMemory implements AutoCloseable {
    /** Bytes of a chunk. */
    static final long CHUNK = 4L << 20;
    private static final int CHUNKS_AT_ONCE = 16;

    private final CudaDevice device;
    private final List<Pointer> slabs = new ArrayList<>();
    private final Deque<Long> free = new ArrayDeque<>();

    PinnedMemory(CudaDevice device) {
        this.device = device;
    }

    /** The addresses of chunks for {@code bytes} bytes. */
    long[] take(long bytes) {
        long[] chunks = new long[Math.toIntExact(Math.ceilDiv(bytes, CHUNK))];
        while (free.size() < chunks.length) {
            grow();
        }
        for (int i = 0; i < chunks.length; i++) {
            chunks[i] = free.pop();
        }
        return chunks;
    }

    private void grow() {
        device.bind();
        Pointer slab = new Pointer();
        int code = cuMemHostAlloc(slab, CHUNKS_AT_ONCE * CHUNK, 0);
        if (code != 0) {
            throw new CudaException("CUDA: " + CHUNKS_AT_ONCE * CHUNK + " more bytes of the host's memory are wanted beside " + reservedBytes()
                    + " that are taken for what is moved off the device; the system gives none (" + CudaDevice.failure("cuMemHostAlloc", code).getMessage() + ")");
        }
        slabs.add(slab);
        for (int i = 0; i < CHUNKS_AT_ONCE; i++) {
            free.add(slab.address() + i * CHUNK);
        }
    }

    void giveBack(long[] chunks) {
        for (int i = chunks.length - 1; i >= 0; i--) {
            free.push(chunks[i]);
        }
    }

    /** Bytes that are taken from the system. */
    long reservedBytes() {
        return slabs.size() * CHUNKS_AT_ONCE * CHUNK;
    }

    /** Whoever copies there must have been waited for. */
    @Override
    public void close() {
        device.bind();
        slabs.forEach(slab -> CudaDevice.check("cuMemFreeHost", cuMemFreeHost(slab)));
        slabs.clear();
        free.clear();
    }
}
