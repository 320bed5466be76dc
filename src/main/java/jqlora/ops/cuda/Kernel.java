package jqlora.ops.cuda;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.bytedeco.cuda.global.cudart.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
import static org.bytedeco.cuda.global.cudart.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
import static org.bytedeco.cuda.global.cudart.cuFuncSetAttribute;
import static org.bytedeco.cuda.global.cudart.cuLaunchKernel;
import static org.bytedeco.cuda.global.cudart.cuLaunchKernelEx;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.tensor.Tensor;
import org.bytedeco.cuda.cudart.CUfunc_st;
import org.bytedeco.cuda.cudart.CUlaunchAttribute;
import org.bytedeco.cuda.cudart.CUlaunchConfig;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;

/**
 * A kernel and memory for its arguments, which are set one after the other and then launched; a launch makes no garbage. The last argument may be a
 * structure: its members, each of 8 bytes or padded to them, are set one after the other.
 *
 * <pre>{@code kernels.get("gated", "silu").address(y).number(rows).launch(blocks, 256);}</pre>
 */
final class Kernel {
    private static final int MOST_ARGUMENTS = 96;
    private static final int SHARED_WITHOUT_ASKING = 48 << 10;
    /** What a launch may be split into along x. */
    private static final long MOST_BLOCKS = Integer.MAX_VALUE;

    private final CudaDevice device;
    private final String name;
    private final CUfunc_st function;
    private final boolean waits;
    private final MemorySegment values;
    private final PointerPointer<Pointer> arguments;
    private CUstream_st stream;
    private int count, shared, sharedAllowed = SHARED_WITHOUT_ASKING;

    /** @param waits whether it waits itself for what it needs of the kernel before, so that it may begin before that one ends */
    Kernel(CudaDevice device, String name, CUfunc_st function, boolean waits) {
        this.device = device;
        this.name = name;
        this.function = function;
        this.waits = waits;
        this.stream = device.stream();
        values = Arena.ofAuto().allocate(2 * 8L * MOST_ARGUMENTS, 16);              // the values, then the address of each
        for (int i = 0; i < MOST_ARGUMENTS; i++) {
            values.set(JAVA_LONG, 8L * (MOST_ARGUMENTS + i), values.address() + 8L * i);
        }
        arguments = new PointerPointer<>(new Address(values.address() + 8L * MOST_ARGUMENTS));
    }

    /** A tensor's memory; 0 for null. */
    Kernel address(Tensor tensor) {
        return number(CudaTensor.address(tensor));
    }

    /** A matrix: its memory and its stride. */
    Kernel matrix(Tensor tensor) {
        CudaTensor own = CudaTensor.of(tensor);
        return number(own.address()).number(own.stride());
    }

    /** A 64-bit integer or an address. */
    Kernel number(long value) {
        values.set(JAVA_LONG, 8L * count++, value);
        return this;
    }

    Kernel integer(int value) {
        values.set(JAVA_INT, 8L * count++, value);
        return this;
    }

    Kernel integer(long value) {
        return integer(Math.toIntExact(value));
    }

    Kernel real(float value) {
        values.set(JAVA_FLOAT, 8L * count++, value);
        return this;
    }

    Kernel real(double value) {
        values.set(JAVA_DOUBLE, 8L * count++, value);
        return this;
    }

    /** The next launch goes to {@code stream}. */
    Kernel on(CUstream_st stream) {
        this.stream = stream;
        return this;
    }

    /** The blocks of the next launch have {@code bytes} of shared memory beside what the source declares. */
    Kernel shared(int bytes) {
        if (bytes > sharedAllowed) {
            device.bind();
            CudaDevice.check("cuFuncSetAttribute " + name, cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes));
            sharedAllowed = bytes;
        }
        shared = bytes;
        return this;
    }

    /** A thread for each of {@code elements}, in blocks of 256. */
    void launchFor(long elements) {
        launch(Math.ceilDiv(elements, 256L), 1, 256, 1);
    }

    void launch(long blocks, int threads) {
        launch(blocks, 1, threads, 1);
    }

    /** Nothing happens when there are no blocks. */
    void launch(long blocksX, int blocksY, int threadsX, int threadsY) {
        if (blocksX > MOST_BLOCKS) {
            throw new IllegalArgumentException(name + ": " + blocksX + " blocks, at most " + MOST_BLOCKS + " can be launched");
        }
        if (blocksX > 0 && blocksY > 0) {
            device.bind();
            int code = waits && device.recordsOverlap() ? launchEarly((int) blocksX, blocksY, threadsX, threadsY)
                    : cuLaunchKernel(function, (int) blocksX, blocksY, 1, threadsX, threadsY, 1, shared, stream, arguments, (PointerPointer<Pointer>) null);
            if (code != 0) {
                throw CudaDevice.failure("cuLaunchKernel " + name + " with " + blocksX + " x " + blocksY + " blocks of " + threadsX + " x " + threadsY, code);
            }
        }
        count = 0;
        shared = 0;
        stream = device.stream();
    }

    private int launchEarly(int blocksX, int blocksY, int threadsX, int threadsY) {
        try (CUlaunchConfig config = new CUlaunchConfig(); CUlaunchAttribute early = new CUlaunchAttribute()) {
            Pointer.memset(config, 0, config.sizeof());
            Pointer.memset(early, 0, early.sizeof());
            early.id(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION).value().programmaticStreamSerializationAllowed(1);
            config.gridDimX(blocksX).gridDimY(blocksY).gridDimZ(1).blockDimX(threadsX).blockDimY(threadsY).blockDimZ(1).sharedMemBytes(shared).hStream(stream).attrs(early).numAttrs(1);
            return cuLaunchKernelEx(config, function, arguments, (PointerPointer<Pointer>) null);
        }
    }
}
