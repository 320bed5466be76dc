package jqlora.lora;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static jqlora.SmallModel.assertLogits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import jqlora.RandomAdapter;
import jqlora.SmallModel;
import jqlora.TinyModel;
import jqlora.format.Checkpoint;
import jqlora.format.SafetensorsException;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.model.ModelWriter;
import jqlora.model.WeightsFingerprint;
import jqlora.ops.LoraDelta;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Merges one after the other: nothing that was merged is lost, whatever the routes, and all of it can be undone. */
class SeveralMergesTest {
    private static final String Q = "model.layers.0.self_attn.q_proj", K = "model.layers.0.self_attn.k_proj";
    private static CpuOps ops;

    @TempDir
    private static Path folder;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        TinyModel.llama().write(folder.resolve("bf16"), DType.BF16, 1, ops);
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models and adapters are closed");
        ops.close();
    }

    /** Merges the adapter in {@code adapter} for good. */
    private static void merge(CausalLm model, Path adapter, MergeRoute route) throws IOException {
        try (Checkpoint original = Checkpoint.open(SmallModel.BASE); LoraAdapter loaded = SmallModel.load(model, adapter)) {
            Merger.withOriginal(original).merge(loaded, route).close();
        }
    }

    @ParameterizedTest
    @CsvSource({"ONTO_ORIGINAL, ONTO_ORIGINAL", "ONTO_BASE, ONTO_ORIGINAL", "ONTO_ORIGINAL, ONTO_BASE", "ONTO_BASE, ONTO_BASE"})
    void bothUpdatesAreInADenseModel(MergeRoute first, MergeRoute second) throws IOException {
        try (CausalLm model = SmallModel.open(SmallModel.BASE, LoadOptions.asStored(), ops)) {
            assertLogits("base", SmallModel.PLAIN, model);
            merge(model, SmallModel.A1, first);
            assertLogits("one", SmallModel.FIRST, model);
            merge(model, SmallModel.A2, second);
            assertLogits("both", SmallModel.BOTH, model);
        }
    }

    /** What starts from the original is the sum of all updates in numbers, however the earlier ones were merged. */
    @ParameterizedTest
    @EnumSource
    void theOriginalGetsEveryUpdateInForce(MergeRoute first) throws IOException {
        try (CausalLm model = SmallModel.open(SmallModel.BASE, LoadOptions.defaults(), ops)) {
            merge(model, SmallModel.A1, first);
            merge(model, SmallModel.A2, MergeRoute.ONTO_ORIGINAL);
            try (CausalLm numbers = SmallModel.open(SmallModel.BASE, LoadOptions.asStored(), ops)) {
                merge(numbers, SmallModel.A1, MergeRoute.ONTO_ORIGINAL);
                merge(numbers, SmallModel.A2, MergeRoute.ONTO_ORIGINAL);
                assertSameBits(first + " first", floats(model, Q), floats(numbers, Q));
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void fourBitsFromTheOriginalAreThoseOfTheSum(MergeRoute first) throws IOException {
        try (CausalLm model = SmallModel.open(SmallModel.BASE, LoadOptions.defaults(), ops); CausalLm sum = SmallModel.open(SmallModel.BASE, LoadOptions.asStored(), ops)) {
            merge(model, SmallModel.A1, first);
            merge(model, SmallModel.A2, MergeRoute.ORIGINAL_TO_4BIT);
            merge(sum, SmallModel.A1, MergeRoute.ONTO_BASE);
            merge(sum, SmallModel.A2, MergeRoute.ONTO_BASE);
            new ModelWriter(SmallModel.BASE, DType.F32).write(sum, folder.resolve("sum-" + first));
            try (CausalLm quantized = SmallModel.open(folder.resolve("sum-" + first), LoadOptions.defaults(), ops)) {
                assertTrue(model.linear(Q).weight() instanceof Weight.FourBit);
                assertSameBits(first + " first", floats(model, Q), floats(quantized, Q));
            }
        }
    }

    /** A third one from the decoded base; three different scales. */
    @Test
    void threeAdapters() throws IOException {
        try (Checkpoint original = Checkpoint.open(folder.resolve("bf16")); CausalLm model = tiny(LoadOptions.defaults()); CausalLm dense = tiny(LoadOptions.asStored().withDtype(DType.F32))) {
            float[] expected = floats(dense, Q);
            List<MergeRoute> routes = List.of(MergeRoute.STOCHASTIC_4BIT, MergeRoute.PEFT_4BIT, MergeRoute.ONTO_ORIGINAL);
            for (int i = 0; i < routes.size(); i++) {
                LoraConfig config = LoraConfig.defaults().withR(2 + i).withLoraAlpha(3 + 5 * i).withTargetModules("q_proj");
                try (LoraAdapter adapter = RandomAdapter.create(model, config, 0.1, i)) {
                    LoraDelta delta = LoraDelta.of(ops, adapter.factors().get(Q));
                    for (int row = 0; row < delta.outFeatures(); row++) {
                        float[] update = delta.toRows()[row];
                        for (int column = 0; column < update.length; column++) {
                            expected[row * update.length + column] += update[column];
                        }
                    }
                    Merger.withOriginal(original).merge(adapter, routes.get(i)).close();
                }
            }
            assertEquals(3, model.linear(Q).state().merges().size());
            float[] merged = floats(model, Q);
            for (int i = 0; i < merged.length; i++) {
                assertClose("element " + i, merged[i], expected[i], 1 / 128.0, 1e-6);   // rounded to the original's BF16 once
            }
        }
    }

    private static CausalLm tiny(LoadOptions options) throws IOException {
        return ModelLoader.load(folder.resolve("bf16"), options, ops, LoadListener.SILENT);
    }

    private static float[] floats(CausalLm model, String layer) {
        try (Tensor floats = ops.toFloat(model.linear(layer).weight())) {
            return ops.download(floats).toFloats();
        }
    }

    // ---- undoing

    @Test
    void theLastMergeIsUndoneFirstAndBringsBackTheVeryBytes() throws IOException {
        try (Checkpoint original = Checkpoint.open(SmallModel.BASE); CausalLm model = SmallModel.open(SmallModel.BASE, LoadOptions.defaults(), ops)) {
            WeightsFingerprint base = model.fingerprint();
            Merger merger = Merger.withOriginal(original);
            LoraAdapter one = SmallModel.load(model, SmallModel.A1);
            Merger.Merged first = merger.merge(one, MergeRoute.PEFT_4BIT);
            WeightsFingerprint between = model.fingerprint();
            LoraAdapter two = SmallModel.load(model, SmallModel.A2);
            Merger.Merged second = merger.merge(two, MergeRoute.ORIGINAL_TO_4BIT);
            WeightsFingerprint both = model.fingerprint();
            assertFails(IllegalArgumentException.class, first::unmerge, "unmerge: " + Q + " has on top of r 4, alpha 8, q_proj, v_proj by PEFT_4BIT also r 4, alpha 8",
                    "by ORIGINAL_TO_4BIT", "undo the later merges first");
            assertEquals(both, model.fingerprint(), "a refusal changes nothing");
            second.unmerge();
            assertEquals(between, model.fingerprint());
            assertTrue(two.isAttached());
            assertFails(IllegalArgumentException.class, first::unmerge, Q + " has another adapter in force; detach that one first");
            two.detach();
            first.unmerge();
            assertEquals(base, model.fingerprint());
            first.unmerge();
            one.close();
            two.close();
        }
    }

    /** Adapters on different layers do not mind each other. */
    @Test
    void mergesOfDifferentLayersAreUndoneInAnyOrder() throws IOException {
        try (CausalLm model = tiny(LoadOptions.defaults())) {
            WeightsFingerprint base = model.fingerprint();
            LoraAdapter q = RandomAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("q_proj"), 0.1, 1);
            LoraAdapter k = RandomAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("k_proj"), 0.1, 2);
            Merger.Merged first = Merger.withoutOriginal().merge(q), second = Merger.withoutOriginal().merge(k);
            assertEquals(Map.of(Q, MergeRoute.STOCHASTIC_4BIT).get(Q), first.plan().routes().get(Q));
            first.unmerge();
            assertEquals(1, model.linear(K).state().merges().size());
            second.unmerge();
            assertEquals(base, model.fingerprint());
            q.close();
            k.close();
        }
    }

    @Test
    void whatIsFinalStaysAndAClosedAdapterIsNotPutInForce() throws IOException {
        try (CausalLm model = SmallModel.open(SmallModel.BASE, LoadOptions.asStored(), ops)) {
            LoraAdapter one = SmallModel.load(model, SmallModel.A1);
            Merger.Merged first = Merger.withoutOriginal().merge(one, MergeRoute.ONTO_BASE);
            first.close();
            assertFails(IllegalArgumentException.class, first::unmerge, "was made final", "load the model again");
            LoraAdapter two = SmallModel.load(model, SmallModel.A2);
            Merger.Merged second = Merger.withoutOriginal().merge(two, MergeRoute.ONTO_BASE);
            two.close();
            second.unmerge();
            assertFalse(two.isAttached());
            assertLogits("the first is still there", SmallModel.FIRST, model);
            assertFails(IllegalArgumentException.class, two::attach, "is closed; load it again");
            one.close();
        }
    }

    @Test
    void theSameAdapterIsNotMergedTwice() throws IOException {
        try (CausalLm model = SmallModel.open(SmallModel.BASE, LoadOptions.asStored(), ops)) {
            LoraAdapter one = SmallModel.load(model, SmallModel.A1);
            Merger merger = Merger.withoutOriginal();
            Merger.Merged merged = merger.merge(one);
            assertFails(IllegalArgumentException.class, () -> merger.merge(one), "is merged into the weights already", "undo the merge first");
            assertFails(IllegalArgumentException.class, one::attach, "its update would count twice");
            LoraAdapter again = SmallModel.load(model, SmallModel.A1);
            assertFails(IllegalArgumentException.class, () -> merger.merge(again), Q + " has this very update in it already", "by ONTO_BASE", "undo that merge first");
            again.close();
            assertLogits("once", SmallModel.FIRST, model);
            merged.unmerge();
            assertTrue(one.isAttached());
            assertLogits("in force", SmallModel.FIRST, model);
            merged = merger.merge(one);
            merged.unmerge();
            one.close();
            assertLogits("base", SmallModel.PLAIN, model);
        }
    }

    // ---- neighbours

    /** A new adapter on a merged model adds to what is there; detaching and attaching in between changes nothing. */
    @Test
    void anAdapterMadeOnAMergedModel() throws IOException {
        try (Checkpoint original = Checkpoint.open(SmallModel.BASE); CausalLm model = SmallModel.open(SmallModel.BASE, LoadOptions.asStored(), ops)) {
            merge(model, SmallModel.A1, MergeRoute.ONTO_ORIGINAL);
            LoraAdapter fresh = RandomAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("q_proj"), 0.3, 4);
            float[] inForce = SmallModel.logits(model);
            fresh.detach();
            fresh.attach();
            Merger.withOriginal(original).merge(fresh, MergeRoute.ONTO_ORIGINAL).close();
            float[] merged = SmallModel.logits(model);
            for (int i = 0; i < merged.length; i++) {
                assertClose("logit " + i, merged[i], inForce[i], 1e-4, 1e-4);
            }
            fresh.close();
        }
    }

    @Test
    void whatIsSavedAfterTwoMergesIsTheModel() throws IOException {
        for (LoadOptions options : List.of(LoadOptions.asStored(), LoadOptions.defaults())) {
            Path saved = folder.resolve("saved-" + (options.quantization() == null));
            float[] expected;
            try (CausalLm model = SmallModel.open(SmallModel.BASE, options, ops)) {
                merge(model, SmallModel.A1, options.quantization() == null ? MergeRoute.ONTO_BASE : MergeRoute.STOCHASTIC_4BIT);
                merge(model, SmallModel.A2, options.quantization() == null ? MergeRoute.ONTO_ORIGINAL : MergeRoute.ORIGINAL_TO_4BIT);
                new ModelWriter(SmallModel.BASE, DType.F32).write(model, saved);
                expected = SmallModel.logits(model);
            }
            try (CausalLm model = SmallModel.open(saved, LoadOptions.asStored(), ops)) {
                assertSameBits("logits of what was saved", SmallModel.logits(model), expected);
            }
        }
    }

    /** The second rounding is not drawn with the numbers of the first. */
    @Test
    void randomRoundingsOfOneLayerDiffer() throws IOException {
        try (CausalLm model = tiny(LoadOptions.defaults()); LoraAdapter a = RandomAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("q_proj"), 0.1, 1)) {
            Merger.withoutOriginal().merge(a, MergeRoute.STOCHASTIC_4BIT).close();
            LoraAdapter b = RandomAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("q_proj"), 0.1, 2);
            Merger.withoutOriginal().merge(b, MergeRoute.STOCHASTIC_4BIT).close();
            List<String> routes = new ArrayList<>();
            model.linear(Q).state().merges().forEach(update -> routes.add(update.route()));
            assertEquals(List.of("STOCHASTIC_4BIT with seed 42", "STOCHASTIC_4BIT with seed 43"), routes);
            b.close();
        }
    }

    @Test
    void anotherOriginalIsRefused() throws IOException {
        TinyModel.llama().write(folder.resolve("sister"), DType.BF16, 2, ops);
        for (LoadOptions options : List.of(LoadOptions.asStored(), LoadOptions.defaults(), LoadOptions.asStored().withDtype(DType.F16))) {
            try (Checkpoint sister = Checkpoint.open(folder.resolve("sister")); Checkpoint own = Checkpoint.open(folder.resolve("bf16")); CausalLm model = tiny(options);
                    LoraAdapter adapter = RandomAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("q_proj"), 0.1, 1)) {
                float[] before = floats(model, Q);
                assertFails(SafetensorsException.class, () -> Merger.withOriginal(sister).merge(adapter, MergeRoute.ONTO_ORIGINAL), "\"" + Q + ".weight\"",
                        "has other numbers than the model was loaded from", "take STOCHASTIC_4BIT or ONTO_BASE");
                assertTrue(adapter.isAttached());
                assertTrue(Arrays.equals(before, floats(model, Q)));
                Merger.withOriginal(own).merge(adapter, MergeRoute.ONTO_ORIGINAL).close();
                assertNotEquals(before[0], floats(model, Q)[0]);
            }
        }
    }

    @Test
    void whatIsTrainedItselfIsNotMergedFromTheOriginal() throws IOException {
        try (Checkpoint original = Checkpoint.open(folder.resolve("bf16")); CausalLm model = tiny(LoadOptions.fullFineTuning());
                LoraAdapter adapter = RandomAdapter.create(model, LoraConfig.defaults().withR(2).withTargetModules("q_proj"), 0.1, 1)) {
            assertFails(IllegalArgumentException.class, () -> Merger.withOriginal(original).merge(adapter, MergeRoute.ONTO_ORIGINAL), Q + " is trained itself", "take ONTO_BASE");
        }
    }
}
