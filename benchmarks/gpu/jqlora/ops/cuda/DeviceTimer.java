package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.cuEventElapsedTime;
import static org.bytedeco.cuda.global.cudart.cuEventSynchronize;

import org.bytedeco.cuda.cudart.CUevent_st;

/** Times work by the device's clock. */
final class DeviceTimer {
    private static final int WARMUP = 3;

    private final CudaDevice device;
    private final CUevent_st from, to;
    private final int repeats;

    /** @param repeats of what is timed */
    DeviceTimer(CudaDevice device, int repeats) {
        this.device = device;
        this.from = device.newTimer();
        this.to = device.newTimer();
        this.repeats = repeats;
    }

    /** Mean milliseconds of {@code work}. */
    double time(Runnable work) {
        for (int i = 0; i < WARMUP; i++) {
            work.run();
        }
        device.record(from, device.stream());
        for (int i = 0; i < repeats; i++) {
            work.run();
        }
        device.record(to, device.stream());
        CudaDevice.check("cuEventSynchronize", cuEventSynchronize(to));
        float[] elapsed = new float[1];
        CudaDevice.check("cuEventElapsedTime", cuEventElapsedTime(elapsed, from, to));
        return elapsed[0] / repeats;
    }
}
