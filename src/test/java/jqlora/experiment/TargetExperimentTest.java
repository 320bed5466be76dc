package jqlora.experiment;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.TinyModel;
import jqlora.data.InstructionRow;
import jqlora.data.InstructionSet;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TextTokenizer;
import jqlora.data.TokenizedRow;
import jqlora.format.Checkpoint;
import jqlora.lora.LoraAdapter;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.lora.TargetModules;
import jqlora.model.CausalLm;
import jqlora.model.Linear;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.model.ModelWriter;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.train.HeldOutLoss;
import jqlora.train.LearningRate;
import jqlora.train.SftConfig;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Three tiny data sets on a tiny model in 4 bits. */
class TargetExperimentTest {
    private static final SftConfig CONFIG = SftConfig.defaults().withBatchSize(2).withMaxSteps(3).withLearningRate(LearningRate.constant(1e-2));
    private static final TargetPlan PLAN = TargetPlan.defaults().mapLora(lora -> lora.withR(4).withLoraDropout(0.1f));
    private static final List<InstructionSet> SETS = List.of(set("ja-phrases", "ありがとう", "thank you"), set("en-wiki-questions", "Who wrote it?", "A poet."), set("zh-riddles", "什么动物?", "猫"));

    @TempDir
    static Path temp;
    private static CpuOps ops;
    private static Path folder;
    private static TextTokenizer tokenizer;

    private static InstructionSet set(String name, String question, String answer) {
        List<InstructionRow> rows = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            rows.add(InstructionRow.of(question + " " + i, answer + " " + i));
        }
        return new InstructionSet(name, rows.subList(0, 4), rows.subList(4, 6));
    }

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        folder = TinyModel.llama().writeWithTokenizer(temp.resolve("model"), DType.F32, 6, ops);
        tokenizer = TextTokenizer.open(folder);
    }

    @AfterAll
    static void close() {
        tokenizer.close();
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models and adapters are closed");
        ops.close();
    }

    private static SupervisedTokenizer rows() {
        return SupervisedTokenizer.of(tokenizer);
    }

    private static List<TokenizedRow> heldOut(String set) {
        return rows().tokenize(SETS.stream().filter(candidate -> candidate.name().equals(set)).findFirst().orElseThrow().test()).rows();
    }

    private static CausalLm load() throws IOException {
        return ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT);
    }

    private static List<Weight> weights(CausalLm model) {
        return model.linears().values().stream().map(Linear::weight).toList();
    }

    private static byte[] adapterFile(Path output, String set) throws IOException {
        return Files.readAllBytes(output.resolve(set).resolve("adapter_model.safetensors"));
    }

    private static List<Double> losses(ExperimentResult result) {
        return Stream.of(result.crossLoss().stream().flatMap(List::stream), result.baseLoss().stream(), result.runs().stream().map(ExperimentResult.Run::mergedLoss)).flatMap(each -> each).toList();
    }

    @Test
    void everyAdapterIsTrainedSavedMergedAndMeasuredOnEveryDataSet() throws IOException {
        Path output = temp.resolve("whole");
        List<String> heard = new ArrayList<>();
        try (CausalLm model = load(); Checkpoint original = Checkpoint.open(folder)) {
            List<Weight> weights = weights(model);
            SETS.forEach(set -> HeldOutLoss.of(model, heldOut(set.name())));     // the rotation table grows with the longest row
            long inUse = ops.memory().bytesInUse();
            ExperimentResult result = new TargetExperiment(model, folder, rows(), CONFIG, output).run(PLAN, SETS, (number, count, entry) -> {
                heard.add(number + " of " + count + " " + entry.dataSet());
                return TrainListener.SILENT;
            });
            assertEquals(List.of("1 of 3 en-wiki-questions", "2 of 3 zh-riddles", "3 of 3 ja-phrases"), heard, "the plan's order, not that of the sets");
            assertEquals(List.of("en-wiki-questions q_proj", "zh-riddles v_proj", "ja-phrases k_proj"), result.runs().stream().map(run -> run.dataSet() + " " + run.targets()).toList());
            // two layers, r 4: 4 * (64 + 64) for q_proj, 4 * (64 + 32) for v_proj and k_proj
            assertEquals(List.of(1024L, 768L, 768L), result.runs().stream().map(ExperimentResult.Run::parameters).toList());

            List<Weight> after = weights(model);
            for (int i = 0; i < weights.size(); i++) {
                assertSame(weights.get(i), after.get(i), "the base is the one that was quantized before");
            }
            assertTrue(model.linears().values().stream().allMatch(linear -> linear.lora() == null), "no adapter is left in force");
            assertEquals(inUse, ops.memory().bytesInUse());

            for (int i = 0; i < 3; i++) {
                String set = result.runs().get(i).dataSet();
                assertEquals(HeldOutLoss.of(model, heldOut(set)).loss(), result.baseLoss().get(i), "base on " + set);
                try (LoraAdapter saved = LoraAdapter.load(model, output.resolve(set), false)) {
                    assertEquals(PLAN.entries().get(i).lora(), saved.config());
                    for (int j = 0; j < 3; j++) {
                        String other = result.runs().get(j).dataSet();
                        assertEquals(HeldOutLoss.of(model, heldOut(other)).loss(), result.crossLoss().get(i).get(j), set + "'s adapter on " + other);
                    }
                    assertEquals(MergeRoute.ORIGINAL_TO_4BIT, result.runs().get(i).route());
                    try (Merger.Merged merged = Merger.withOriginal(original).merge(saved, MergeRoute.ORIGINAL_TO_4BIT)) {
                        assertEquals(HeldOutLoss.of(model, heldOut(set)).loss(), result.runs().get(i).mergedLoss(), set + " merged");
                        merged.unmerge();
                    }
                }
                assertEquals(folder.toString(), Oracle.json(output.resolve(set).resolve("adapter_config.json")).get("base_model_name_or_path").getAsString());
                assertTrue(result.crossLoss().get(i).get(i) < result.baseLoss().get(i), "training on " + set + " lowers its loss: " + result.crossLoss());
            }
            // the second and third adapter start as if they were the first: nothing of an earlier training is in them
            for (TargetPlan.Entry entry : PLAN.entries().subList(1, 3)) {
                Path alone = temp.resolve("alone");
                new TargetExperiment(model, folder, rows(), CONFIG, alone).run(new TargetPlan(List.of(entry)), SETS, ExperimentListener.SILENT);
                assertArrayEquals(adapterFile(alone, entry.dataSet()), adapterFile(output, entry.dataSet()), entry.dataSet() + " trained alone");
            }
        }
    }

    @Test
    void aStoppedExperimentGoesOnAndEndsAsAnUninterruptedOne() throws IOException {
        Path output = temp.resolve("stopped");
        List<Integer> firstSteps = new ArrayList<>();
        try (CausalLm model = load()) {
            TargetExperiment experiment = new TargetExperiment(model, folder, rows(), CONFIG, output);
            InterruptedIOException stopped = assertFails(InterruptedIOException.class, () -> experiment.run(PLAN, SETS, (number, count, entry) -> event -> {
                if (number == 2 && event instanceof TrainEvent.StepEnd step && step.step() == 2) {
                    Thread.currentThread().interrupt();
                }
                assertNotEquals(3, number, "the third training must not begin");
            }), "experiment: stopped in the training on \"zh-riddles\" after step 2", output.toString());
            assertTrue(Thread.interrupted(), () -> "the flag stays set: " + stopped);
            assertTrue(model.linears().values().stream().allMatch(linear -> linear.lora() == null), "no adapter is left in force");
            assertFalse(Files.exists(output.resolve("ja-phrases")));

            ExperimentResult result = experiment.run(PLAN, SETS, (number, count, entry) -> event -> {
                if (event instanceof TrainEvent.Started started) {
                    firstSteps.add(started.firstStep());
                }
            });
            assertEquals(List.of(4, 3, 1), firstSteps, "done, half done, not begun");
            Path whole = temp.resolve("uninterrupted");
            ExperimentResult expected = new TargetExperiment(model, folder, rows(), CONFIG, whole).run(PLAN, SETS, ExperimentListener.SILENT);
            assertEquals(losses(expected), losses(result));
            for (TargetPlan.Entry entry : PLAN.entries()) {
                assertArrayEquals(adapterFile(whole, entry.dataSet()), adapterFile(output, entry.dataSet()), entry.dataSet());
            }
        }
    }

    @Test
    void aBaseThatIsStoredIn4BitsIsMergedWithoutAnOriginal() throws IOException {
        Path stored = temp.resolve("stored-in-4-bits");
        try (CausalLm model = load()) {
            new ModelWriter(folder, DType.F32).write(model, stored);
        }
        try (CausalLm model = ModelLoader.load(stored, LoadOptions.defaults(), ops, LoadListener.SILENT)) {
            TargetPlan plan = new TargetPlan(PLAN.entries().subList(0, 1));
            ExperimentResult result = new TargetExperiment(model, stored, rows(), CONFIG.withMaxSteps(1), temp.resolve("from-4-bits")).run(plan, SETS, ExperimentListener.SILENT);
            assertEquals(MergeRoute.STOCHASTIC_4BIT, result.runs().getFirst().route());
        }
    }

    @Test
    void whatIsMissingIsSaidBeforeAnythingIsTrained() throws IOException {
        Path output = temp.resolve("refused");
        try (CausalLm model = load()) {
            TargetExperiment experiment = new TargetExperiment(model, folder, rows(), CONFIG, output);
            assertFails(IllegalArgumentException.class, () -> experiment.run(PLAN, SETS.subList(0, 2), ExperimentListener.SILENT),
                    "experiment: the plan has data set \"zh-riddles\", given are ja-phrases, en-wiki-questions");
            TargetPlan wrong = PLAN.with("ja-phrases", TargetModules.names("k_prj"));
            assertFails(IllegalArgumentException.class, () -> experiment.run(wrong, SETS, ExperimentListener.SILENT), "\"k_prj\" matches no linear layer of the model", "near it: \"k_proj\"");
            assertFalse(Files.exists(output), "nothing is written");
        }
    }
}
