package jqlora.cli;

import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import jqlora.device.Device;
import jqlora.device.Nvidia;
import jqlora.ops.Ops;
import jqlora.ops.cpu.CpuOptions;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Whether this machine's NVIDIA GPUs can be used. */
@Command(name = "gpu", description = "Say which NVIDIA GPUs can be used and what is missing; status 1 if none can.", mixinStandardHelpOptions = true)
final class GpuCommand implements Callable<Integer> {
    @Mixin
    private CudaFolders cuda = new CudaFolders();

    @Override
    public Integer call() {
        Nvidia nvidia = cuda.nvidia();
        int devices = nvidia.gpus();
        if (devices == 0) {
            System.out.println("no NVIDIA GPU with a working driver");
            return 1;
        }
        List<String> missing = nvidia.missing();
        if (!missing.isEmpty()) {
            missing.forEach(System.out::println);
            return 1;
        }
        for (int device = 0; device < devices; device++) {
            try (Ops ops = Device.cuda(device).open(CpuOptions.defaults(), nvidia, System.out::println)) {
                System.out.printf(Locale.ROOT, "cuda:%d is %s%n", device, ops.description());
            }
        }
        return 0;
    }
}
