package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.cuMemFreeHost;
import static org.bytedeco.cuda.global.cudart.cuMemHostAlloc;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.Pointer;

/**
 * Memory of the host that the device can copy to and from while it computes. What is larger than a piece lies in several, so that little is lost in gaps
 * whatever the sizes. What is given back is kept for the next time, for taking memory of this kind from the system is slow.
 */
final class PinnedMemory implements AutoCloseable {
    /** The most bytes of a piece. */
    static final long PIECE = 4L << 20;
    /** What is taken from the system at once. */
    static final long SLAB = 64L << 20;
    private static final long GAP = 512;

    private final CudaDevice device;
    private final List<Pointer> slabs = new ArrayList<>();
    private final FreeBlocks blocks = new FreeBlocks();

    PinnedMemory(CudaDevice device) {
        this.device = device;
    }

    /** The addresses of pieces for {@code bytes} bytes: whole ones, and the last as long as what is left. */
    long[] take(long bytes) {
        long[] pieces = new long[Math.toIntExact(Math.ceilDiv(bytes, PIECE))];
        for (int i = 0; i < pieces.length; i++) {
            long size = Math.min(PIECE, bytes - i * PIECE);
            pieces[i] = blocks.take(size);
            if (pieces[i] < 0) {
                grow();
                pieces[i] = blocks.take(size);
            }
        }
        return pieces;
    }

    private void grow() {
        device.bind();
        Pointer slab = new Pointer();
        int code = cuMemHostAlloc(slab, SLAB + GAP, 0);
        if (code != 0) {
            throw new CudaException("CUDA: " + SLAB + " more bytes of the host's memory are wanted beside " + reservedBytes()
                    + " that are taken for what is moved off the device; the system gives none (" + CudaDevice.failure("cuMemHostAlloc", code).getMessage() + ")");
        }
        slabs.add(slab);
        blocks.addFree(slab.address(), SLAB);                     // a gap after it, so that no block reaches into the next slab
    }

    void giveBack(long[] pieces) {
        for (long piece : pieces) {
            blocks.giveBack(piece);
        }
    }

    /** Bytes that are taken from the system. */
    long reservedBytes() {
        return slabs.size() * SLAB;
    }

    /** Whoever copies there must have been waited for. */
    @Override
    public void close() {
        device.bind();
        slabs.forEach(slab -> CudaDevice.check("cuMemFreeHost", cuMemFreeHost(slab)));
        slabs.clear();
    }
}
