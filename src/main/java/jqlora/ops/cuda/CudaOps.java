package jqlora.ops.cuda;

import jqlora.ops.CheckedOps;
import jqlora.ops.Ops;
import jqlora.ops.Rehearsal;

/**
 * {@link Ops} on an NVIDIA GPU: bfloat16 activations, float32 sums, adapters and gradients. Operations are put on a stream and return
 * at once; only {@code download} waits. Not for several threads at once; any thread may call.
 */
public final class CudaOps implements CheckedOps {
    private final CudaBackend backend;

    private CudaOps(CudaOptions options, CudaDevice device, boolean scalesApart) {
        backend = new CudaBackend(options, device, scalesApart);
    }

    /**
     * Takes a GPU. The JVM should run with {@code -Dorg.bytedeco.javacpp.maxphysicalbytes=0}: the bindings otherwise count the pages of
     * mapped files against four times the Java heap, and refuse to work beyond.
     *
     * @throws CudaException if the driver or a library is missing, the message says which and how to install it, or the device cannot
     *     be used or has no FP8 where {@code options} want it
     */
    public static CudaOps open(CudaOptions options) {
        return open(options, false);
    }

    /** @param scalesApart whether products in FP8 are scaled as on devices where cuBLASLt takes no scale for each row */
    static CudaOps open(CudaOptions options, boolean scalesApart) {
        options.libraries().require();
        CudaDevice device = CudaDevice.open(options.device());
        try {
            if (options.products() == CudaOptions.Products.FP8) {
                Fp8Weights.require(device.name(), device.major(), device.minor());
            }
            return new CudaOps(options, device, scalesApart);
        } catch (RuntimeException failed) {
            device.close();
            throw failed;
        }
    }

    /**
     * A rehearsal of a GPU that need not be there.
     *
     * @param bytes of its memory that may be taken
     */
    public static Rehearsal rehearsalOf(long bytes) {
        return new Rehearsal(CudaAccount.ofEmpty(bytes, (shape, sequences, room, backward) ->
                CudaAttention.estimatedNeeds(bytes, shape, sequences, room, backward)));
    }

    /** Waits until all that was called has been computed, for measuring. */
    public void synchronize() {
        backend.device().synchronize();
    }

    /** For benchmarks of parts. */
    CudaStage stage() {
        return backend.stage();
    }

    /** How many plans of attention cuDNN has compiled. */
    int attentionPlans() {
        return backend.attentionPlans();
    }

    @Override
    public Ops unchecked() {
        return backend;
    }
}
