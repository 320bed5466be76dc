package jqlora.device;

import java.util.List;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import jqlora.ops.Ops;
import jqlora.ops.Rehearsal;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cpu.CpuOptions;
import jqlora.ops.cuda.CudaException;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.CudaOptions;

/**
 * Where to compute, under PyTorch's names: the processor, one NVIDIA GPU, or whichever this machine has; and how.
 *
 * <pre>{@code
 * Device.cuda(0).withPrecision(Precision.FP8).withBudget(8_000_000_000L)
 * }</pre>
 */
public sealed interface Device {
    /** The first GPU if there is one that can be used, else the processor. */
    record Auto() implements Device {
        @Override
        public String toString() {
            return "auto";
        }
    }

    /** @param threads that compute, as {@link CpuOptions} has them; 0 for as many as are otherwise chosen */
    record Cpu(int threads) implements Device {
        public Cpu {
            new CpuOptions(threads);
        }

        /** The results are the same bits on any number of threads. */
        public Cpu withThreads(int threads) {
            return new Cpu(threads);
        }

        @Override
        public String toString() {
            return threads == 0 ? "cpu" : "cpu with " + threads + (threads == 1 ? " thread" : " threads");
        }
    }

    /**
     * An NVIDIA GPU.
     *
     * @param number of the GPU, from 0
     * @param precision of products with frozen 4-bit weights
     * @param budgetBytes the most memory that is taken from it; 0 for all that is free when it is opened, less a twentieth
     * @param decodedBytes how much of that may keep 4-bit weights decoded between uses, which saves the time for decoding; they give way
     *     when anything else needs the memory
     * @param reproducible whether the same training gives the same bits each time
     */
    record Cuda(int number, Precision precision, long budgetBytes, long decodedBytes, boolean reproducible) implements Device {
        public Cuda {
            if (number < 0 || budgetBytes < 0 || decodedBytes < 0) {
                throw new IllegalArgumentException("cuda: the number is " + number + ", the budget " + budgetBytes + " bytes and decoded weights may take "
                        + decodedBytes + ", none may be negative; 0 is the first GPU, and a budget of 0 all that is free");
            }
        }

        public Cuda withPrecision(Precision precision) {
            return new Cuda(number, precision, budgetBytes, decodedBytes, reproducible);
        }

        /** At most {@code bytes} of its memory, at least 1. */
        public Cuda withBudget(long bytes) {
            if (bytes < 1) {
                throw new IllegalArgumentException("cuda:" + number + ": the budget is " + bytes + " bytes, it must be at least 1;"
                        + " without one it is all that is free");
            }
            return new Cuda(number, precision, bytes, decodedBytes, reproducible);
        }

        /** At most {@code bytes} for weights that are kept decoded; 0 decodes them at each use. */
        public Cuda withDecodedWeights(long bytes) {
            return new Cuda(number, precision, budgetBytes, bytes, reproducible);
        }

        /** False for the fastest products and sums, which differ in their last bits from run to run. */
        public Cuda withReproducible(boolean reproducible) {
            return new Cuda(number, precision, budgetBytes, decodedBytes, reproducible);
        }

        /** What a GPU with this budget, which need not be here, would take. */
        public Rehearsal rehearsal() {
            if (budgetBytes == 0) {
                throw new IllegalArgumentException(this + ": a GPU that is not here needs a budget, such as withBudget(24_000_000_000L)");
            }
            return CudaOps.rehearsalOf(budgetBytes);
        }

        CudaOptions options(Nvidia nvidia) {
            CudaOptions.Products products = switch (precision) {
                case BF16 -> CudaOptions.Products.BF16;
                case FP8 -> CudaOptions.Products.FP8;
            };
            return new CudaOptions(number, budgetBytes, decodedBytes,
                    reproducible ? CudaOptions.Attention.DETERMINISTIC : CudaOptions.Attention.FASTEST,
                    reproducible ? CudaOptions.Tuning.HEURISTIC : CudaOptions.Tuning.MEASURED, products, nvidia.libraries(), nvidia.kernelCache());
        }

        @Override
        public String toString() {
            return "cuda:" + number + (precision == Precision.BF16 ? "" : ", " + precision)
                    + (budgetBytes == 0 ? "" : ", at most " + budgetBytes + " bytes")
                    + (decodedBytes == Long.MAX_VALUE ? "" : ", decoded weights " + decodedBytes + " bytes") + (reproducible ? "" : ", not reproducible");
        }
    }

    /** The first GPU if there is one that can be used, else the processor. */
    static Auto auto() {
        return new Auto();
    }

    /** The processor, on as many threads as are otherwise chosen. */
    static Cpu cpu() {
        return new Cpu(0);
    }

    /** The GPU of that number, from 0: in bfloat16, all its free memory, what is left of it for decoded weights, the same bits each time. */
    static Cuda cuda(int number) {
        return new Cuda(number, Precision.BF16, 0, Long.MAX_VALUE, true);
    }

    /**
     * Reads {@code auto}, {@code cpu}, {@code cuda} or {@code cuda:1}.
     *
     * @param from who names it, for the error
     * @throws IllegalArgumentException for anything else
     */
    static Device parse(String from, String text) {
        Matcher cuda = Pattern.compile("cuda(?::(\\d{1,3}))?").matcher(text);
        if (cuda.matches()) {
            return cuda(cuda.group(1) == null ? 0 : Integer.parseInt(cuda.group(1)));
        }
        return switch (text) {
            case "auto" -> auto();
            case "cpu" -> cpu();
            default -> throw new IllegalArgumentException(from + " is \"" + text + "\", it must be auto, cpu, cuda or cuda:N");
        };
    }

    /** Whether {@code ops} computes on the processor. */
    static boolean isProcessor(Ops ops) {
        return ops instanceof CpuOps;
    }

    /**
     * Opens the backend of this device. Without a GPU {@link Auto} is the processor, and nothing is said of it.
     *
     * @param processor how the processor is used, if it is the processor
     * @param nvidia where NVIDIA's libraries are
     * @param note hears why a GPU that is there is not used
     * @throws CudaException if a GPU that is asked for by name cannot be used
     */
    default Ops open(CpuOptions processor, Nvidia nvidia, Consumer<String> note) {
        return switch (this) {
            case Cpu(int threads) -> CpuOps.open(threads == 0 ? processor : processor.withThreads(threads));
            case Cuda gpu -> CudaOps.open(gpu.options(nvidia));
            case Auto() -> {
                if (nvidia.gpus() == 0) {
                    yield CpuOps.open(processor);
                }
                List<String> missing = nvidia.missing();
                if (!missing.isEmpty()) {
                    note.accept("There is an NVIDIA GPU, but " + String.join("; ", missing)
                            + ". `./jqlora setup --gpu` installs what is missing. Computing on the processor.");
                    yield CpuOps.open(processor);
                }
                try {
                    yield cuda(0).open(processor, nvidia, note);
                } catch (CudaException unusable) {
                    note.accept("The GPU cannot be used: " + unusable.getMessage() + ". Computing on the processor.");
                    yield CpuOps.open(processor);
                }
            }
        };
    }
}
