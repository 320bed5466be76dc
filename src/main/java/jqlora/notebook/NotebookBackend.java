package jqlora.notebook;

import jqlora.device.Device;
import jqlora.model.ModelUse;
import jqlora.ops.Ops;

/** The backend that all models of a notebook share, opened at its first use, and tried again at the next one if it cannot be. */
final class NotebookBackend {
    private final ModelUse use = new ModelUse("the backend of this notebook");
    private volatile Ops ops;
    private Device device;

    /** The backend on {@code wanted}. {@link Device.Auto} is what was chosen outside of the notebook, and any backend that is open. */
    synchronized Ops on(Device wanted) {
        if (ops == null) {
            Device chosen = wanted instanceof Device.Auto ? Home.device() : wanted;
            ops = chosen.open(Home.processor(), Home.nvidia(), Qlora::show);
            device = chosen;
        } else if (!fits(wanted)) {
            throw new IllegalStateException("the backend of this notebook is open already: " + ops.description() + "; to compute on " + wanted
                    + " choose it before the first model is opened, or restart the kernel");
        }
        return ops;
    }

    private boolean fits(Device wanted) {
        return switch (wanted) {
            case Device.Auto() -> true;
            case Device.Cpu(int threads) -> Device.isProcessor(ops) && (threads == 0 || threads == ops.threads());
            case Device.Cuda gpu -> !Device.isProcessor(ops) && (gpu.equals(device) || device instanceof Device.Auto && gpu.equals(Device.cuda(0)));
        };
    }

    Ops get() {
        return on(Device.auto());
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
