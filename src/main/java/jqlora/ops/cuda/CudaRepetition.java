package jqlora.ops.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.bytedeco.cuda.global.cudart.CU_STREAM_CAPTURE_MODE_RELAXED;
import static org.bytedeco.cuda.global.cudart.cuEventSynchronize;
import static org.bytedeco.cuda.global.cudart.cuGraphDestroy;
import static org.bytedeco.cuda.global.cudart.cuGraphExecDestroy;
import static org.bytedeco.cuda.global.cudart.cuGraphInstantiate;
import static org.bytedeco.cuda.global.cudart.cuGraphLaunch;
import static org.bytedeco.cuda.global.cudart.cuMemFreeHost;
import static org.bytedeco.cuda.global.cudart.cuMemHostAlloc;
import static org.bytedeco.cuda.global.cudart.cuMemcpyDtoHAsync;
import static org.bytedeco.cuda.global.cudart.cuStreamBeginCapture;
import static org.bytedeco.cuda.global.cudart.cuStreamEndCapture;

import java.lang.foreign.MemorySegment;
import java.util.List;
import jqlora.ops.Repetition;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUgraphExec_st;
import org.bytedeco.cuda.cudart.CUgraph_st;
import org.bytedeco.javacpp.Pointer;

/**
 * Work that is given to the device before the host asks for it. The first time it is done as it comes, which loads kernels and takes memory; if
 * nothing but the computing stream took part, the second time is recorded as a graph, and from then on a time costs the host one call. The
 * blocks of memory that the graph uses stay its own.
 */
final class CudaRepetition implements Repetition {
    /** Times that the device is ahead of the host. */
    private static final int AHEAD = 2;

    private final CudaDevice device;
    private final DeviceMemory memory;
    private final int times;
    private final CudaTensor watched;
    private final Runnable operations;
    private final int elements;
    private final Pointer pinned = new Pointer();
    private final MemorySegment slots;
    private final Address slot = new Address();
    private final CUevent_st[] written = new CUevent_st[AHEAD];
    private CUgraphExec_st graph;
    private List<Long> kept = List.of();
    private boolean repeatable;
    private int begun, read;

    @SuppressWarnings("restricted")
    CudaRepetition(CudaDevice device, DeviceMemory memory, int times, CudaTensor watched, Runnable operations) {
        this.device = device;
        this.memory = memory;
        this.times = times;
        this.watched = watched;
        this.operations = operations;
        elements = Math.toIntExact(watched.shape().size());
        device.bind();
        long bytes = (long) Integer.BYTES * AHEAD * elements;
        CudaDevice.check("cuMemHostAlloc", cuMemHostAlloc(pinned, bytes, 0));
        slots = MemorySegment.ofAddress(pinned.address()).reinterpret(bytes);
        for (int i = 0; i < AHEAD; i++) {
            written[i] = device.newEvent();
        }
    }

    /** Whether it has become a graph. */
    boolean isRecorded() {
        return graph != null;
    }

    @Override
    public int[] next() {
        Repetition.requireNext(read, times);
        while (begun < times && begun - read < AHEAD) {
            begin();
        }
        int from = read++ % AHEAD;
        device.bind();
        CudaDevice.check("cuEventSynchronize", cuEventSynchronize(written[from]));
        return slots.asSlice((long) Integer.BYTES * from * elements, (long) Integer.BYTES * elements).toArray(JAVA_INT);
    }

    private void begin() {
        if (graph == null && repeatable) {
            record();
        }
        if (graph != null) {
            device.bind();
            CudaDevice.check("cuGraphLaunch", cuGraphLaunch(graph, device.stream()));
        } else {
            long before = device.crossings();
            operations.run();
            repeatable = begun == 0 && device.crossings() == before;
        }
        int to = begun++ % AHEAD;
        device.bind();
        slot.at(slots.address() + (long) Integer.BYTES * to * elements);
        CudaDevice.check("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync(slot, watched.address(), (long) Integer.BYTES * elements, device.stream()));
        device.record(written[to], device.stream());
    }

    /** What cannot be recorded is done as it comes, each time; if something else is wrong, that shows then. */
    private void record() {
        try {
            graph = instantiated(recorded());
        } catch (CudaException unrecorded) {
            repeatable = false;
            giveBack();
        }
    }

    private CUgraph_st recorded() {
        device.bind();
        CUgraph_st recorded = new CUgraph_st();
        CudaDevice.check("cuStreamBeginCapture", cuStreamBeginCapture(device.stream(), CU_STREAM_CAPTURE_MODE_RELAXED));
        device.records(true);
        memory.keep();
        int ended;
        try {
            operations.run();
        } finally {
            kept = memory.kept();
            device.records(false);
            ended = cuStreamEndCapture(device.stream(), recorded);
        }
        CudaDevice.check("cuStreamEndCapture", ended);
        return recorded;
    }

    private static CUgraphExec_st instantiated(CUgraph_st recorded) {
        CUgraphExec_st made = new CUgraphExec_st();
        int code = cuGraphInstantiate(made, recorded, 0);
        CudaDevice.check("cuGraphDestroy", cuGraphDestroy(recorded));
        CudaDevice.check("cuGraphInstantiate", code);
        return made;
    }

    private void giveBack() {
        kept.forEach(memory::giveBack);
        kept = List.of();
    }

    @Override
    public void close() {
        device.synchronize();
        if (graph != null) {
            CudaDevice.check("cuGraphExecDestroy", cuGraphExecDestroy(graph));
            graph = null;
        }
        giveBack();
        for (CUevent_st event : written) {
            device.destroy(event);
        }
        CudaDevice.check("cuMemFreeHost", cuMemFreeHost(pinned));
    }
}
