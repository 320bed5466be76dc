package jqlora.ops.cpu;

import jqlora.ops.CheckedOps;
import jqlora.ops.Ops;
import jqlora.quant.FourBitCodec;
import jqlora.tensor.Processors;
import jqlora.tensor.Workers;

/**
 * {@link Ops} on the processor: float32 activations in memory outside the Java heap, 4-bit weights decoded while a product reads them.
 */
public final class CpuOps implements CheckedOps {
    private final CpuBackend backend;

    private CpuOps(CpuStage stage) {
        backend = new CpuBackend(stage);
    }

    /** The fastest products that this JVM can run. */
    public static CpuOps open(CpuOptions options) {
        return create(options.threadsOn(Processors.ofProcess()));
    }

    /** All processors that this process may use. */
    public static CpuOps create() {
        return open(CpuOptions.defaults());
    }

    /** @param threads how many threads compute, the caller included */
    public static CpuOps create(int threads) {
        Workers workers = new Workers(threads);
        Product product = FourBitCodec.vectorModulePresent() ? new VectorProduct(workers) : new TorchProduct(workers);
        return new CpuOps(new CpuStage(workers, product, RowMath.fastest(), FourBitCodec.fastest(workers)));
    }

    /** PyTorch's products and plain loops, as where the Vector API's module is missing. */
    public static CpuOps withoutVectorApi(int threads) {
        Workers workers = new Workers(threads);
        return new CpuOps(new CpuStage(workers, new TorchProduct(workers), new PlainRowMath(), new jqlora.quant.PlainFourBitCodec()));
    }

    @Override
    public Ops unchecked() {
        return backend;
    }
}
