package jqlora.notebook;

import java.util.function.Supplier;
import jqlora.model.ModelUse;
import jqlora.ops.Ops;
import jqlora.ops.cpu.CpuOps;

/** The backend that all models of a notebook share, opened at its first use, and tried again at the next one if it cannot be. */
final class NotebookBackend {
    private final ModelUse use = new ModelUse("the backend of this notebook");
    private volatile Ops ops;
    private ComputeDevice device;

    synchronized Ops on(ComputeDevice wanted) {
        ComputeDevice chosen = wanted instanceof ComputeDevice.Auto ? Home.device() : wanted;
        if (ops == null) {
            ops = chosen.open(Home.processor(), Home.cudaLibraries(), Home.kernelCache(), Qlora::show);
            device = chosen;
        }
        boolean fits = switch (wanted) {
            case ComputeDevice.Auto() -> true;
            case ComputeDevice.Cpu() -> ops instanceof CpuOps;
            case ComputeDevice.Cuda(int number) -> !(ops instanceof CpuOps) && (wanted.equals(device) || device instanceof ComputeDevice.Auto && number == 0);
        };
        return fits ? ops : open(() -> ops);
    }

    synchronized Ops open(Supplier<Ops> opening) {
        if (ops != null) {
            throw new IllegalStateException("the backend of this notebook is open already: " + ops.description() + "; choose another before the first model is opened, or restart the kernel");
        }
        ops = opening.get();
        return ops;
    }

    synchronized Ops get() {
        return on(new ComputeDevice.Auto());
    }

    /** Who has the backend: a training in the background, or nobody. */
    ModelUse use() {
        return use;
    }

    /** The backend if it is open, else null. */
    Ops ops() {
        return ops;
    }
}
