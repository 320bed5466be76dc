package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
import static org.bytedeco.cuda.global.cudart.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR;
import static org.bytedeco.cuda.global.cudart.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
import static org.bytedeco.cuda.global.cudart.CU_EVENT_DISABLE_TIMING;
import static org.bytedeco.cuda.global.cudart.CU_STREAM_NON_BLOCKING;
import static org.bytedeco.cuda.global.cudart.cuCtxSetCurrent;
import static org.bytedeco.cuda.global.cudart.cuDeviceGet;
import static org.bytedeco.cuda.global.cudart.cuDeviceGetAttribute;
import static org.bytedeco.cuda.global.cudart.cuDeviceGetCount;
import static org.bytedeco.cuda.global.cudart.cuDeviceGetName;
import static org.bytedeco.cuda.global.cudart.cuDevicePrimaryCtxRelease;
import static org.bytedeco.cuda.global.cudart.cuDevicePrimaryCtxRetain;
import static org.bytedeco.cuda.global.cudart.cuDriverGetVersion;
import static org.bytedeco.cuda.global.cudart.cuEventCreate;
import static org.bytedeco.cuda.global.cudart.cuEventDestroy;
import static org.bytedeco.cuda.global.cudart.cuEventRecord;
import static org.bytedeco.cuda.global.cudart.cuGetErrorName;
import static org.bytedeco.cuda.global.cudart.cuGetErrorString;
import static org.bytedeco.cuda.global.cudart.cuInit;
import static org.bytedeco.cuda.global.cudart.cuMemGetInfo;
import static org.bytedeco.cuda.global.cudart.cuStreamCreate;
import static org.bytedeco.cuda.global.cudart.cuStreamDestroy;
import static org.bytedeco.cuda.global.cudart.cuStreamSynchronize;
import static org.bytedeco.cuda.global.cudart.cuStreamWaitEvent;

import org.bytedeco.cuda.cudart.CUctx_st;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.PointerPointer;
import org.bytedeco.javacpp.SizeTPointer;

/** One GPU: its context, the stream that computes and the stream that decodes weights ahead of it. */
final class CudaDevice implements AutoCloseable {
    private static final int NAME_BYTES = 256;

    private final int device;
    private final String name;
    private final int major, minor;
    private final String architecture;
    private final int driverVersion;
    private final CUctx_st context = new CUctx_st();
    private final CUstream_st stream = new CUstream_st();
    private final CUstream_st decodeStream = new CUstream_st();
    private final CUevent_st handedOver;
    private final int multiprocessors;
    private final boolean overlaps;
    private Thread bound;
    private long crossings;
    private boolean recording;

    private CudaDevice(int ordinal) {
        check("cuInit", cuInit(0));
        int[] number = new int[1];
        check("cuDeviceGetCount", cuDeviceGetCount(number));
        if (ordinal >= number[0]) {
            throw new CudaException("CUDA: device " + ordinal + " is wanted, this machine has " + number[0]);
        }
        check("cuDeviceGet", cuDeviceGet(number, ordinal));
        device = number[0];
        byte[] text = new byte[NAME_BYTES];
        check("cuDeviceGetName", cuDeviceGetName(text, NAME_BYTES, device));
        name = new String(text, java.nio.charset.StandardCharsets.UTF_8).replaceAll("\0.*", "");
        major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
        minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
        if (major < 8) {
            throw new CudaException("CUDA: " + name + " has compute capability " + major + "." + minor + ", bfloat16 needs 8.0 or more");
        }
        architecture = "sm_" + major + minor;
        overlaps = major >= 9;
        multiprocessors = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
        check("cuDriverGetVersion", cuDriverGetVersion(number));
        driverVersion = number[0];
        check("cuDevicePrimaryCtxRetain", cuDevicePrimaryCtxRetain(context, device));
        bind();
        check("cuStreamCreate", cuStreamCreate(stream, CU_STREAM_NON_BLOCKING));
        check("cuStreamCreate", cuStreamCreate(decodeStream, CU_STREAM_NON_BLOCKING));
        handedOver = newEvent();
    }

    /** @throws CudaException if there is no such device, or it cannot be used */
    static CudaDevice open(int ordinal) {
        return new CudaDevice(ordinal);
    }

    private int attribute(int attribute) {
        int[] value = new int[1];
        check("cuDeviceGetAttribute", cuDeviceGetAttribute(value, attribute, device));
        return value[0];
    }

    /** Such as {@code NVIDIA H200}. */
    String name() {
        return name;
    }

    int ordinal() {
        return device;
    }

    /** Such as {@code sm_90}. */
    String architecture() {
        return architecture;
    }

    /** Of the compute capability, as {@link #minor}. */
    int major() {
        return major;
    }

    int minor() {
        return minor;
    }

    /** Such as 13000 for 13.0. */
    int driverVersion() {
        return driverVersion;
    }

    int multiprocessors() {
        return multiprocessors;
    }

    CUstream_st stream() {
        return stream;
    }

    CUstream_st decodeStream() {
        return decodeStream;
    }

    /** Bytes of the device's memory that nobody has taken. */
    long freeBytes() {
        bind();
        try (SizeTPointer free = new SizeTPointer(1); SizeTPointer total = new SizeTPointer(1)) {
            check("cuMemGetInfo", cuMemGetInfo(free, total));
            return free.get();
        }
    }

    /** Makes this the device of the calling thread: notebooks run each cell on a thread of its own. */
    void bind() {
        Thread current = Thread.currentThread();
        if (bound != current) {
            check("cuCtxSetCurrent", cuCtxSetCurrent(context));
            bound = current;
        }
    }

    /** Waits for all that was begun. */
    void synchronize() {
        bind();
        check("cuStreamSynchronize", cuStreamSynchronize(decodeStream));
        check("cuStreamSynchronize", cuStreamSynchronize(stream));
    }

    /** To be called where the host or the decoding stream takes part in what the computing stream is given: such work cannot be recorded and repeated. */
    void crosses() {
        crossings++;
    }

    /** How often {@link #crosses} was called. */
    long crossings() {
        return crossings;
    }

    /** What the computing stream is given from now on is recorded, or not. */
    void records(boolean recording) {
        this.recording = recording;
    }

    /** Whether work is recorded, and a recorded kernel may begin before the one before it ends. */
    boolean recordsOverlap() {
        return recording && overlaps;
    }

    // ---- events

    CUevent_st newEvent() {
        bind();
        CUevent_st event = new CUevent_st();
        check("cuEventCreate", cuEventCreate(event, CU_EVENT_DISABLE_TIMING));
        return event;
    }

    CUevent_st newTimer() {
        bind();
        CUevent_st event = new CUevent_st();
        check("cuEventCreate", cuEventCreate(event, 0));
        return event;
    }

    void record(CUevent_st event, CUstream_st on) {
        bind();
        check("cuEventRecord", cuEventRecord(event, on));
    }

    /** What the decoding stream is given from now on begins after all that the computing stream was given before. */
    void decodeAfterThis() {
        record(handedOver, stream);
        await(handedOver, decodeStream);
    }

    /** What {@code on} is given from now on begins after {@code event}. */
    void await(CUevent_st event, CUstream_st on) {
        bind();
        check("cuStreamWaitEvent", cuStreamWaitEvent(on, event, 0));
    }

    void destroy(CUevent_st event) {
        bind();
        check("cuEventDestroy", cuEventDestroy(event));
    }

    // ---- errors

    /** @throws CudaException if {@code code} is not success */
    static void check(String call, int code) {
        if (code != 0) {
            throw failure(call, code);
        }
    }

    static CudaException failure(String call, int code) {
        try (PointerPointer<BytePointer> name = new PointerPointer<>(1); PointerPointer<BytePointer> text = new PointerPointer<>(1)) {
            boolean known = cuGetErrorName(code, name) == 0 && cuGetErrorString(code, text) == 0;
            return known ? CudaException.of(call, code, name.get(BytePointer.class, 0).getString(), text.get(BytePointer.class, 0).getString())
                    : CudaException.of(call, code, "unknown error", "");
        }
    }

    @Override
    public void close() {
        synchronize();
        destroy(handedOver);
        check("cuStreamDestroy", cuStreamDestroy(stream));
        check("cuStreamDestroy", cuStreamDestroy(decodeStream));
        check("cuDevicePrimaryCtxRelease", cuDevicePrimaryCtxRelease(device));
        bound = null;
    }

    @Override
    public String toString() {
        return name + " (" + architecture + ")";
    }
}
