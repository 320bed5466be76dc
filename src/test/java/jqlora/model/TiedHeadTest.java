package jqlora.model;

import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static jqlora.SmallModel.assertLogits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import jqlora.SmallModel;
import jqlora.format.Checkpoint;
import jqlora.format.HfConfig;
import jqlora.format.SafetensorsException;
import jqlora.format.SafetensorsFile;
import jqlora.format.SafetensorsWriter;
import jqlora.format.TensorSource;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a checkpoint may lack, and what it may have beyond what the config asks for: as transformers 5.17 does it, from which the logits come. */
class TiedHeadTest {
    private static final String EMBEDDING = "model.embed_tokens.weight", HEAD = "lm_head.weight", FREQUENCIES = "model.layers.0.self_attn.rotary_emb.inv_freq";
    private static final List<Double> OWN_HEAD = List.of(3.6552, 1.8264, 0.8801, -1.5907, -0.1877, 1.1358);
    private static CpuOps ops;

    @TempDir
    private Path folder;

    @BeforeAll
    static void open() {
        ops = CpuOps.create();
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models are closed");
        ops.close();
    }

    private Path with(UnaryOperator<List<TensorSource>> change, boolean tied) throws IOException {
        Path copy = SmallModel.copy(SmallModel.BASE, folder.resolve("copy-" + System.nanoTime()));
        HfConfig.read(copy).with("tie_word_embeddings", tied).write(copy);
        try (SafetensorsFile file = SafetensorsFile.open(SmallModel.BASE.resolve(Checkpoint.SINGLE))) {
            List<TensorSource> tensors = new ArrayList<>();
            for (String name : file.names()) {
                tensors.add(TensorSource.of(name, file.get(name)));
            }
            SafetensorsWriter.write(copy.resolve(Checkpoint.SINGLE), change.apply(tensors), SafetensorsWriter.PT);
        }
        return copy;
    }

    private static List<TensorSource> plus(List<TensorSource> tensors, String name, float[] values, long... dims) {
        tensors.add(TensorSource.of(name, TensorView.ofFloats(values, dims)));
        return tensors;
    }

    private static float[] embedding() throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(SmallModel.BASE.resolve(Checkpoint.SINGLE))) {
            return file.get(EMBEDDING).toFloats();
        }
    }

    private static float[] otherHead() throws IOException {
        float[] head = embedding();
        for (int i = 0; i < head.length; i++) {
            head[i] = head[i] * 0.5f + (float) Math.sin(i) * 0.1f;
        }
        return head;
    }

    @Test
    void aHeadThatDiffersIsNotTiedAndIsNeverDropped() throws IOException {
        float[] head = otherHead();
        Path differs = with(tensors -> plus(tensors, HEAD, head, 259, 16), true);
        try (CausalLm model = SmallModel.open(differs, LoadOptions.asStored(), ops)) {
            assertFalse(model.spec().tieWordEmbeddings());
            assertTrue(model.loadReport().warnings().getFirst().contains("they differ; they are not tied"), model.loadReport()::toString);
            assertLogits("own head", OWN_HEAD, model);
            new ModelWriter(differs, DType.F32).write(model, folder.resolve("saved"));
            try (CausalLm saved = SmallModel.open(folder.resolve("saved"), LoadOptions.asStored(), ops)) {
                assertSameBits("saved", SmallModel.logits(saved), SmallModel.logits(model));
                assertEquals(List.of(), saved.loadReport().warnings(), "config.json says now that it is not tied");
            }
        }
        try (CausalLm model = SmallModel.open(differs, LoadOptions.defaults(), ops)) {
            assertFalse(model.spec().tieWordEmbeddings());
        }
    }

    @Test
    void aHeadThatIsTheEmbeddingIsTied() throws IOException {
        float[] embedding = embedding();
        for (Path folder : List.of(with(tensors -> plus(tensors, HEAD, embedding, 259, 16), true), with(tensors -> {
            tensors.removeIf(tensor -> tensor.name().equals(EMBEDDING));
            return plus(tensors, HEAD, embedding, 259, 16);
        }, true))) {
            try (CausalLm model = SmallModel.open(folder, LoadOptions.asStored(), ops)) {
                assertTrue(model.spec().tieWordEmbeddings());
                assertEquals("", model.loadReport().toString());
                assertLogits("tied", SmallModel.PLAIN, model);
            }
        }
    }

    @Test
    void aHeadThatIsMissing() throws IOException {
        Path missing = with(tensors -> tensors, false);
        assertFails(SafetensorsException.class, () -> SmallModel.open(missing, LoadOptions.asStored(), ops), "\"" + HEAD + "\"", "is not there", "set tie_word_embeddings to true");
        Files.delete(missing.resolve(Checkpoint.SINGLE));
    }

    /** Of old files; config.json decides, as in transformers, and the user hears of it where they differ. */
    @Test
    void storedFrequencies() throws IOException {
        float[] own = {1f, 0.1f, 0.01f, 0.001f}, other = {1f, 0.2f, 0.04f, 0.008f};
        try (CausalLm model = SmallModel.open(with(tensors -> plus(tensors, FREQUENCIES, own, 4), true), LoadOptions.asStored(), ops)) {
            assertEquals("", model.loadReport().toString());
        }
        try (CausalLm model = SmallModel.open(with(tensors -> plus(tensors, FREQUENCIES, other, 4), true), LoadOptions.asStored(), ops)) {
            assertTrue(model.loadReport().toString().contains("warning: " + FREQUENCIES + " has other frequencies"), model.loadReport()::toString);
            assertLogits("by config.json", SmallModel.PLAIN, model);
        }
    }
}
