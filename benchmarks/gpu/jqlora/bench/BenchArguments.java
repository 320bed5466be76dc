package jqlora.bench;

import java.io.File;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import jqlora.ops.cuda.CudaLibraries;

/** The arguments of the GPU's benchmarks, each {@code key=value}. */
public final class BenchArguments {
    private BenchArguments() { }

    /** The values by their keys. */
    public static Map<String, String> parse(String... arguments) {
        Map<String, String> options = new TreeMap<>();
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            if (equals < 1) {
                throw new IllegalArgumentException("argument \"" + argument + "\", it must be key=value");
            }
            options.put(argument.substring(0, equals), argument.substring(equals + 1));
        }
        return options;
    }

    /** The folders of {@code libraries=}, or the system's own places. */
    public static CudaLibraries libraries(Map<String, String> options) {
        return options.containsKey("libraries") ? new CudaLibraries(Arrays.stream(options.get("libraries").split(File.pathSeparator)).map(Path::of).toList()) : CudaLibraries.ofSystem();
    }
}
