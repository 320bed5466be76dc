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

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.tensor.TensorView;
import org.bytedeco.cuda.cudart.CUDA_MEMCPY2D_v2;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.javacpp.Pointer;

/**
 * Copies. What goes to the device passes through pinned memory, two halves in turn, so that the caller waits for nothing but a half that is
 * still under way; what comes from the device is waited for.
 */
final class Transfers implements AutoCloseable {
    private static final long HALF = 16L << 20;

    private final CudaDevice device;
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
        CudaDevice.check("cuMemHostAlloc", cuMemHostAlloc(pinned, 2 * HALF, 0));
        staging = MemorySegment.ofAddress(pinned.address()).reinterpret(2 * HALF);
        sent = new CUevent_st[] {device.newEvent(), device.newEvent()};
    }

    /** Copies to {@code address}; {@code source} may be changed at once. */
    void upload(MemorySegment source, long address) {
        device.crosses();
        device.bind();
        for (long at = 0; at < source.byteSize(); ) {
            long count = Math.min(HALF, source.byteSize() - at);
            long from = room(count);
            MemorySegment.copy(source, at, staging, from, count);
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
            MemorySegment.copy(source.data(), row * width, staging, from, rows * width);
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

    /** A copy in host memory. */
    TensorView download(CudaTensor tensor) {
        device.crosses();
        device.bind();
        MemorySegment copy = Arena.ofAuto().allocate(Math.max(1, tensor.byteSize()), 8).asSlice(0, tensor.byteSize());
        if (tensor.byteSize() > 0) {
            if (tensor.isDense()) {
                CudaDevice.check("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync(host.at(copy), tensor.address(), copy.byteSize(), device.stream()));
            } else {
                matrixCopy.dstMemoryType(CU_MEMORYTYPE_HOST).dstHost(host.at(copy)).dstPitch(2 * tensor.columns());
                fromDevice(tensor.address(), 2 * tensor.stride());
                copyMatrix(2 * tensor.columns(), tensor.rows());
            }
        }
        CudaDevice.check("cuStreamSynchronize", cuStreamSynchronize(device.stream()));
        return new TensorView(tensor.dtype(), tensor.shape(), copy);
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
        matrixCopy.close();
        for (CUevent_st event : sent) {
            device.destroy(event);
        }
        CudaDevice.check("cuMemFreeHost", cuMemFreeHost(pinned));
    }
}
