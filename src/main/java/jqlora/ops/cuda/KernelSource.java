package jqlora.ops.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** One of the {@code .cu} files beside the classes.
 * @param common the text of {@code common.cuh}, which it includes */
record KernelSource(String name, String text, String common) {
    /** All there are. */
    static final List<String> NAMES = List.of("four_bit", "linear", "rms_norm", "layer_norm", "rope", "gated", "rows", "cross_entropy", "optimizer", "attention", "merge", "dropout",
            "decode_attention", "few_rows", "next_token", "fp8");

    static KernelSource of(String name) {
        return new KernelSource(name, read(name + ".cu"), read("common.cuh"));
    }

    private static String read(String file) {
        try (InputStream stream = KernelSource.class.getResourceAsStream(file)) {
            if (stream == null) {
                throw new IllegalStateException("the jar lacks jqlora/ops/cuda/" + file);
            }
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }
}
