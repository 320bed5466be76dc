package jqlora;

import static jqlora.Assert.assertClose;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import jqlora.lora.LoraAdapter;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.Ops;
import jqlora.ops.Sequences;
import jqlora.tensor.Tensor;

/** A Llama of one layer, hidden 16, in float32, with its tokenizer, and adapters on its q_proj and v_proj; logits beside them come from a forward pass in double with numpy. */
public final class SmallModel {
    /** The model, and what lies beside it: a1 and a2 are plain adapters, eva is one that EVA began, pissa is PiSSA's, partly-4bit is the model in NF4 without v_proj and down_proj. */
    public static final Path BASE = path("base"), A1 = path("a1"), A2 = path("a2"), EVA = path("eva"), PISSA = path("pissa"), PARTLY = path("partly-4bit");
    /** The first six logits after the tokens below, without and with adapters in the weights. */
    public static final List<Double> PLAIN = List.of(6.9937, 3.8068, 1.7819, -3.3769, -0.0227, 1.7914), BOTH = List.of(6.3742, 3.4872, 1.7831, -4.6531, 1.1089, 1.2886),
            SECOND = List.of(6.9237, 3.9180, 1.7029, -3.6835, 1.5131, 1.0091), FIRST = List.of(5.4430, 2.9442, 2.0633, -3.7536, 0.5711, 1.8634);
    private static final int[] TOKENS = {0, 40, 41, 70, 80, 90, 33, 60};

    private SmallModel() { }

    public static Path path(String name) {
        return Path.of("src/test/resources/fixtures/small").resolve(name);
    }

    /** The base, or another folder of its shape. */
    public static CausalLm open(Path folder, LoadOptions options, Ops ops) throws IOException {
        return ModelLoader.load(folder, options, ops, LoadListener.SILENT);
    }

    public static LoraAdapter load(CausalLm model, Path adapter) throws IOException {
        return LoraAdapter.load(model, adapter, false);
    }

    /** All logits after the tokens. */
    public static float[] logits(CausalLm model) {
        try (Tensor logits = model.logits(TOKENS, Sequences.ofLengths(TOKENS.length))) {
            float[] all = model.ops().download(logits).toFloats();
            return java.util.Arrays.copyOfRange(all, all.length - (int) model.spec().vocabSize(), all.length);
        }
    }

    /** The first six logits are {@code expected}, to the digits that are written there. */
    public static void assertLogits(String what, List<Double> expected, CausalLm model) {
        float[] logits = logits(model);
        for (int i = 0; i < expected.size(); i++) {
            assertClose(what + ", logit " + i, logits[i], expected.get(i), 0, 6e-5);
        }
    }

    /** A copy of {@code folder} that may be changed. */
    public static Path copy(Path folder, Path target) throws IOException {
        Files.createDirectories(target);
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                Files.copy(file, target.resolve(file.getFileName()));
            }
        }
        return target;
    }
}
