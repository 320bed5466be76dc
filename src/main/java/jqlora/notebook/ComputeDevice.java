package jqlora.notebook;

import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import jqlora.ops.Ops;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cpu.CpuOptions;
import jqlora.ops.cuda.CudaException;
import jqlora.ops.cuda.CudaLibraries;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.CudaOptions;

/** Where to compute, under PyTorch's names: the processor, one NVIDIA GPU, or whichever this machine has. */
public sealed interface ComputeDevice {
    /** The first GPU if there is one that can be used, else the processor. */
    record Auto() implements ComputeDevice { }

    /** The processor. */
    record Cpu() implements ComputeDevice { }

    /** @param number of the GPU, from 0 */
    record Cuda(int number) implements ComputeDevice { }

    /**
     * Reads {@code auto}, {@code cpu}, {@code cuda} or {@code cuda:1}.
     *
     * @param from who names it, for the error
     * @throws IllegalArgumentException for anything else
     */
    static ComputeDevice parse(String from, String text) {
        Matcher cuda = Pattern.compile("cuda(?::(\\d{1,3}))?").matcher(text);
        if (cuda.matches()) {
            return new Cuda(cuda.group(1) == null ? 0 : Integer.parseInt(cuda.group(1)));
        }
        return switch (text) {
            case "auto" -> new Auto();
            case "cpu" -> new Cpu();
            default -> throw new IllegalArgumentException(from + " is \"" + text + "\", it must be auto, cpu, cuda or cuda:N");
        };
    }

    /**
     * Opens the backend of this device. Without a GPU {@link Auto} is the processor, and nothing is said of it.
     *
     * @param processor how the processor is used, if it is the processor
     * @param libraries where NVIDIA's libraries are
     * @param cache folder for compiled kernels
     * @param note hears why a GPU that is there is not used
     * @throws CudaException if a GPU that is asked for by name cannot be used
     */
    default Ops open(CpuOptions processor, CudaLibraries libraries, Path cache, Consumer<String> note) {
        return switch (this) {
            case Cpu() -> CpuOps.open(processor);
            case Cuda(int number) -> CudaOps.open(CudaOptions.defaults().withDevice(number).withLibraries(libraries).withCache(cache));
            case Auto() -> {
                if (libraries.devices() == 0) {
                    yield CpuOps.open(processor);
                }
                List<String> missing = libraries.missing();
                if (!missing.isEmpty()) {
                    note.accept("There is an NVIDIA GPU, but " + String.join("; ", missing) + ". `./jqlora setup --gpu` installs what is missing. Computing on the processor.");
                    yield CpuOps.open(processor);
                }
                try {
                    yield new Cuda(0).open(processor, libraries, cache, note);
                } catch (CudaException unusable) {
                    note.accept("The GPU cannot be used: " + unusable.getMessage() + ". Computing on the processor.");
                    yield CpuOps.open(processor);
                }
            }
        };
    }
}
