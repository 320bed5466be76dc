package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.CU_MEMORYTYPE_DEVICE;
import static org.bytedeco.cuda.global.cudart.CU_MEMORYTYPE_HOST;
import static org.bytedeco.cuda.global.cudart.cuEventSynchronize;
import static org.bytedeco.cuda.global.cudart.cuMemFreeHost;
import static org.bytedeco.cuda.global.cudart.cuMemHostAlloc;
import static org.bytedeco.cuda.global.cudart.cuMemcpy2DAsync;
import static org.bytedeco.cuda.global.cudart.cuMemcpyDtoDAsync;
import static org.bytedeco.cuda.global.cudart.cuMemcpyDtoHAsync;
import static org.bytedeco.cuda.global.cudart.cuMemcpyHtoDAsync;
import static org.bytedeco.cuda.global.cudart.cuMemsetD2D8Async;
import static org.bytedeco.cuda.global.cudart.cuMemsetD8Async;
import static org.bytedeco.cuda.global.cudart.cuStreamSynchronize;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.tensor.ByteSink;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;
import org.bytedeco.cuda.cudart.CUDA_MEMCPY2D_v2;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.javacpp.Pointer;

/**
 * Copies. What goes to the device passes through pinned memory, two halves in turn, so that the caller waits for nothing but a half that is
 * still under way; what comes from the device takes the same way back and is waited for. Several threads fill and empty a half: one alone moves less than
 * the bus does.
 */
final class Transfers implements AutoCloseable {
    private static final long HALF = 16L << 20;
    /** Bytes that a thread copies at least, and that are taken from the device without the pinned memory. */
    private static final long GRAIN = 256L << 10;
    private static final int MOST_THREADS = 12, FEW = 512;

    private final CudaDevice device;
    private final Workers workers = new Workers(Math.min(MOST_THREADS, Runtime.getRuntime().availableProcessors()));
    private final Thread stranger = Thread.ofPlatform().unstarted(() -> { });
    private final Pointer pinned = new Pointer();
    private final MemorySegment staging;
    private final CUevent_st[] sent;
    private final Address host = new Address();
    private final CUDA_MEMCPY2D_v2 matrixCopy = new CUDA_MEMCPY2D_v2();
    private int half;
    private long filled;

    @SuppressWarnings("restricted")
    Transfers(CudaDevice device) {
        this.device = device;
        device.bind();
        CudaDevice.check("cuMemHostAlloc", cuMemHostAlloc(pinned, 2 * HALF + FEW, 0));
        staging = MemorySegment.ofAddress(pinned.address()).reinterpret(2 * HALF + FEW);
        sent = new CUevent_st[] {device.newEvent(), device.newEvent()};
    }

    /** Copies to {@code address}; {@code source} may be changed at once. */
    void upload(MemorySegment source, long address) {
        device.crosses();
        device.bind();
        for (long at = 0; at < source.byteSize(); ) {
            long count = Math.min(HALF, source.byteSize() - at);
            long from = room(count);
            move(source, at, staging, from, count);
            CudaDevice.check("cuMemcpyHtoDAsync", cuMemcpyHtoDAsync(address + at, host.at(staging.address() + from), count, device.stream()));
            at += count;
        }
    }

    void upload(int[] values, long address) {
        upload(MemorySegment.ofArray(values), address);
    }

    void upload(long[] values, long address) {
        upload(MemorySegment.ofArray(values), address);
    }

    void upload(float[] values, long address) {
        upload(MemorySegment.ofArray(values), address);
    }

    /** Into a tensor, whose rows may have room behind them. */
    void upload(TensorView source, CudaTensor target) {
        if (target.isDense()) {
            upload(source.data(), target.address());
            return;
        }
        device.crosses();
        device.bind();
        long width = 2 * target.columns(), rowsAtOnce = Math.max(1, HALF / Math.max(1, width));
        for (long row = 0; row < target.rows() && width > 0; ) {
            long rows = Math.min(rowsAtOnce, target.rows() - row), from = room(rows * width);
            move(source.data(), row * width, staging, from, rows * width);
            matrixCopy.srcMemoryType(CU_MEMORYTYPE_HOST).srcHost(host.at(staging.address() + from)).srcPitch(width);
            toDevice(target.address() + 2 * row * target.stride(), 2 * target.stride());
            copyMatrix(width, rows);
            row += rows;
        }
    }

    /** Bytes of the staging memory that nothing uses any more; the place of the first. */
    private long room(long count) {
        long aligned = Math.ceilDiv(filled, 16L) * 16;
        if (aligned + count > HALF) {
            device.record(sent[half], device.stream());
            half = 1 - half;
            CudaDevice.check("cuEventSynchronize", cuEventSynchronize(sent[half]));
            aligned = 0;
        }
        filled = aligned + count;
        return half * HALF + aligned;
    }

    private void move(MemorySegment source, long at, MemorySegment target, long to, long count) {
        if (count < 2 * GRAIN || !source.isAccessibleBy(stranger) || !target.isAccessibleBy(stranger)) {
            MemorySegment.copy(source, at, target, to, count);
        } else {
            workers.ranges(count, GRAIN, (first, last) -> MemorySegment.copy(source, at + first, target, to + first, last - first));
        }
    }

    /** A copy in host memory. */
    TensorView download(CudaTensor tensor) {
        MemorySegment copy = Arena.ofAuto().allocate(Math.max(1, tensor.byteSize()), 8).asSlice(0, tensor.byteSize());
        if (tensor.byteSize() < GRAIN) {
            small(tensor, copy);
        } else {
            long[] at = {0};
            try {
                download(tensor, piece -> {
                    move(piece, 0, copy, at[0], piece.byteSize());
                    at[0] += piece.byteSize();
                });
            } catch (IOException impossible) {
                throw new AssertionError(impossible);
            }
        }
        return new TensorView(tensor.dtype(), tensor.shape(), copy);
    }

    private void small(CudaTensor tensor, MemorySegment copy) {
        device.crosses();
        device.bind();
        if (tensor.isDense() && tensor.byteSize() > 0) {
            CudaDevice.check("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync(host.at(copy), tensor.address(), copy.byteSize(), device.stream()));
        } else if (tensor.byteSize() > 0) {
            matrixCopy.dstMemoryType(CU_MEMORYTYPE_HOST).dstHost(host.at(copy)).dstPitch(2 * tensor.columns());
            fromDevice(tensor.address(), 2 * tensor.stride());
            copyMatrix(2 * tensor.columns(), tensor.rows());
        }
        CudaDevice.check("cuStreamSynchronize", cuStreamSynchronize(device.stream()));
    }

    /** Overwrites {@code target}, a few bytes, with those at {@code address}. */
    void download(long address, MemorySegment target) {
        device.crosses();
        device.bind();
        CudaDevice.check("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync(host.at(staging.address() + 2 * HALF), address, target.byteSize(), device.stream()));
        CudaDevice.check("cuStreamSynchronize", cuStreamSynchronize(device.stream()));
        MemorySegment.copy(staging, 2 * HALF, target, 0, target.byteSize());
    }

    /** Hands the elements to {@code sink}, one half of the pinned memory after the other, while the next one is under way. */
    void download(CudaTensor tensor, ByteSink sink) throws IOException {
        long width = tensor.isDense() ? 1 : 2 * tensor.columns(), rows = tensor.isDense() ? tensor.byteSize() : tensor.rows(), atOnce = HALF / Math.max(1, width);
        if (width > HALF) {
            throw new IllegalArgumentException("download: a row of " + tensor + " has " + width + " bytes, it must have at most " + HALF);
        }
        device.crosses();
        device.bind();
        int pieces = width == 0 ? 0 : Math.toIntExact(Math.ceilDiv(rows, atOnce));
        try {
            for (int piece = 0; piece <= pieces; piece++) {
                if (piece < pieces) {
                    fetch(tensor, width, piece * atOnce, Math.min(atOnce, rows - piece * atOnce), piece % 2);
                    device.record(sent[piece % 2], device.stream());
                }
                if (piece > 0) {
                    long before = piece - 1, bytes = width * Math.min(atOnce, rows - before * atOnce);
                    CudaDevice.check("cuEventSynchronize", cuEventSynchronize(sent[(int) before % 2]));
                    sink.write(staging.asSlice(before % 2 * HALF, bytes).asReadOnly());
                }
            }
        } finally {
            CudaDevice.check("cuStreamSynchronize", cuStreamSynchronize(device.stream()));
            filled = 0;                                           // nothing is under way: both halves are free
        }
    }

    /** Rows into a half; what was uploaded from it before has left it by then, since both are on one stream. */
    private void fetch(CudaTensor tensor, long width, long row, long rows, int into) {
        long to = staging.address() + into * HALF;
        if (tensor.isDense()) {
            CudaDevice.check("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync(host.at(to), tensor.address() + row, rows, device.stream()));
        } else {
            matrixCopy.dstMemoryType(CU_MEMORYTYPE_HOST).dstHost(host.at(to)).dstPitch(width);
            fromDevice(tensor.address() + 2 * row * tensor.stride(), 2 * tensor.stride());
            copyMatrix(width, rows);
        }
    }

    /** Copies the elements, not the room behind them. */
    void copy(CudaTensor target, CudaTensor source) {
        if (target.isDense() && source.isDense()) {
            device.bind();
            CudaDevice.check("cuMemcpyDtoDAsync", cuMemcpyDtoDAsync(target.address(), source.address(), source.byteSize(), device.stream()));
        } else {
            copyRows(target.address(), target.stride(), source.address(), source.stride(), source.columns(), source.rows());
        }
    }

    /** Copies {@code columns} bfloat16 columns of {@code rows} rows. */
    void copyRows(long target, long targetStride, long source, long sourceStride, long columns, long rows) {
        if (columns > 0 && rows > 0) {
            device.bind();
            fromDevice(source, 2 * sourceStride);
            toDevice(target, 2 * targetStride);
            copyMatrix(2 * columns, rows);
        }
    }

    private void fromDevice(long address, long pitch) {
        matrixCopy.srcMemoryType(CU_MEMORYTYPE_DEVICE).srcDevice(address).srcPitch(pitch);
    }

    private void toDevice(long address, long pitch) {
        matrixCopy.dstMemoryType(CU_MEMORYTYPE_DEVICE).dstDevice(address).dstPitch(pitch);
    }

    private void copyMatrix(long widthBytes, long rows) {
        matrixCopy.WidthInBytes(widthBytes).Height(rows);
        CudaDevice.check("cuMemcpy2DAsync", cuMemcpy2DAsync(matrixCopy, device.stream()));
    }

    void fillZero(CudaTensor tensor) {
        fillZero(tensor.address(), tensor.storedBytes());
    }

    void fillZero(long address, long bytes) {
        if (bytes > 0) {
            device.bind();
            CudaDevice.check("cuMemsetD8Async", cuMemsetD8Async(address, (byte) 0, bytes, device.stream()));
        }
    }

    /** Zeros in {@code columns} bfloat16 columns of {@code rows} rows. */
    void fillZero(long address, long stride, long columns, long rows) {
        if (columns > 0 && rows > 0) {
            device.bind();
            CudaDevice.check("cuMemsetD2D8Async", cuMemsetD2D8Async(address, 2 * stride, (byte) 0, 2 * columns, rows, device.stream()));
        }
    }

    @Override
    public void close() {
        device.synchronize();
        workers.close();
        matrixCopy.close();
        for (CUevent_st event : sent) {
            device.destroy(event);
        }
        CudaDevice.check("cuMemFreeHost", cuMemFreeHost(pinned));
    }
}
