package jqlora.ops.cuda;

import java.nio.file.Path;

/**
 * How a GPU is used.
 *
 * @param device its number, from 0
 * @param budgetBytes the most memory that is taken from it; 0 for all that is free when it is opened, less a twentieth
 * @param residentBytes how much of that may keep weights decoded between uses: a 4-bit weight then costs 2.5 bytes a number instead of half a byte,
 *     and no time for decoding. They give way when anything else needs the memory
 * @param attention what the backward of attention may do
 * @param tuning how the algorithm of a matrix product is chosen
 * @param products what the products with frozen 4-bit weights are computed in
 * @param libraries where NVIDIA's libraries are
 * @param cache folder for compiled kernels; null to compile them each time
 */
public record CudaOptions(int device, long budgetBytes, long residentBytes, Attention attention, Tuning tuning, Products products, CudaLibraries libraries,
        Path cache) {
    /** The order of the sums in attention's backward. */
    public enum Attention {
        /** The same bits each time. */
        DETERMINISTIC,
        /** The fastest: the gradient of the queries is summed in the order in which the blocks of the GPU come to it. */
        FASTEST
    }

    /** The choice of an algorithm. */
    public enum Tuning {
        /** cuBLASLt's own first choice: the same each time. */
        HEURISTIC,
        /** The fastest of eight, measured at the first use; another run may choose another one, whose sums have another order. */
        MEASURED
    }

    /** The numbers that a product with a frozen 4-bit weight reads; adapters, attention and the output layer are in bfloat16 either way. */
    public enum Products {
        /** bfloat16, as the weights are decoded to. */
        BF16,
        /**
         * 8-bit floats (e4m3): weights with a scale for each output row, for the backward for each input column; activations and gradients with a scale for
         * each token. Faster, and each product is off by about a twenty-fifth of its length; needs compute capability 8.9 or more. A few rows, as when tokens are
         * made one after the other, are multiplied with the weights as they are stored.
         *
         * @see <a href="https://arxiv.org/abs/2209.05433">FP8 formats for deep learning</a>
         */
        FP8
    }

    public CudaOptions {
        if (device < 0 || budgetBytes < 0 || residentBytes < 0) {
            throw new IllegalArgumentException("CUDA: device is " + device + ", budgetBytes " + budgetBytes + " and residentBytes " + residentBytes
                    + ", none may be negative");
        }
    }

    /** The first device, all its memory, what is left of it for decoded weights, results with the same bits each time. */
    public static CudaOptions defaults() {
        return new CudaOptions(0, 0, Long.MAX_VALUE, Attention.DETERMINISTIC, Tuning.HEURISTIC, Products.BF16, CudaLibraries.ofSystem(), null);
    }

    public CudaOptions withDevice(int device) {
        return new CudaOptions(device, budgetBytes, residentBytes, attention, tuning, products, libraries, cache);
    }

    public CudaOptions withBudgetBytes(long budgetBytes) {
        return new CudaOptions(device, budgetBytes, residentBytes, attention, tuning, products, libraries, cache);
    }

    public CudaOptions withResidentBytes(long residentBytes) {
        return new CudaOptions(device, budgetBytes, residentBytes, attention, tuning, products, libraries, cache);
    }

    public CudaOptions withAttention(Attention attention) {
        return new CudaOptions(device, budgetBytes, residentBytes, attention, tuning, products, libraries, cache);
    }

    public CudaOptions withTuning(Tuning tuning) {
        return new CudaOptions(device, budgetBytes, residentBytes, attention, tuning, products, libraries, cache);
    }

    public CudaOptions withProducts(Products products) {
        return new CudaOptions(device, budgetBytes, residentBytes, attention, tuning, products, libraries, cache);
    }

    public CudaOptions withLibraries(CudaLibraries libraries) {
        return new CudaOptions(device, budgetBytes, residentBytes, attention, tuning, products, libraries, cache);
    }

    public CudaOptions withCache(Path cache) {
        return new CudaOptions(device, budgetBytes, residentBytes, attention, tuning, products, libraries, cache);
    }
}
