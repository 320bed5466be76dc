package jqlora.experiment;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import jqlora.TinyModel;
import jqlora.data.InstructionRow;
import jqlora.data.InstructionSet;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TextTokenizer;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.TargetModules;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.train.HeldOutLoss;
import jqlora.train.SftConfig;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Two tiny data sets, two choices of modules and two rates on a tiny model in 4 bits. */
class TargetGridTest {
    private static final SftConfig CONFIG = SftConfig.defaults().withBatchSize(2).withMaxSteps(3);
    private static final LoraConfig LORA = LoraConfig.defaults().withR(4).withLoraAlpha(8).withLoraDropout(0);
    private static final List<TargetModules> TARGETS = List.of(TargetModules.names("q_proj"), TargetModules.names("k_proj", "v_proj"));
    private static final List<InstructionSet> SETS = List.of(set("en", "Who wrote it?", "A poet."), set("zh", "什么动物?", "猫"));

    @TempDir
    static Path temp;
    private static CpuOps ops;
    private static Path folder;
    private static TextTokenizer tokenizer;

    private static InstructionSet set(String name, String question, String answer) {
        List<InstructionRow> rows = IntStream.range(0, 9).mapToObj(i -> InstructionRow.of(question + " " + i, answer + " " + i)).toList();
        return new InstructionSet(name, rows.subList(0, 4), rows.subList(4, 9));
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

    private static CausalLm load() throws IOException {
        return ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT);
    }

    private static TargetGrid grid(CausalLm model, String output) {
        return new TargetGrid(model, SupervisedTokenizer.of(tokenizer), SETS, LORA, CONFIG, temp.resolve(output));
    }

    private static double loss(CausalLm model, List<InstructionRow> rows) {
        return HeldOutLoss.of(model, SupervisedTokenizer.of(tokenizer).tokenize(rows).rows()).loss();
    }

    /** Losses and steps; how long a step took is not the same twice. */
    private static List<String> found(GridResult result) {
        return result.runs().stream().map(run -> run.cell() + ": " + run.losses() + " after " + run.training().steps().stream().map(TrainEvent.StepEnd::loss).toList()).toList();
    }

    @Test
    void everyCellIsTrainedOnceInItsOwnFolderAndMeasuredOnBothHalves() throws IOException {
        try (CausalLm model = load()) {
            TargetGrid grid = grid(model, "whole");
            List<GridCell> cells = grid.cells(TARGETS, 1e-2, 1e-3);
            assertEquals("en, q_proj, learning rate 0.01, seed 42", cells.getFirst().toString());
            assertEquals(8, cells.size());
            List<String> begun = new ArrayList<>();
            GridResult result = grid.run(cells, (number, count, cell) -> {
                begun.add(number + " of " + count + " " + cell.dataSet());
                return TrainListener.SILENT;
            });
            assertEquals("1 of 8 en", begun.getFirst());
            assertEquals(8, begun.size());
            assertEquals(cells, result.runs().stream().map(GridResult.Run::cell).toList());
            // two layers, r 4: 4 * (64 + 64) for q_proj, 4 * (64 + 32) for each of k_proj and v_proj
            assertEquals(List.of(1024L, 1024L, 1536L, 1536L), result.runs().subList(0, 4).stream().map(GridResult.Run::parameters).toList());
            assertTrue(model.linears().values().stream().allMatch(linear -> linear.lora() == null), "no adapter is left in force");

            List<InstructionRow> test = SETS.getFirst().test();
            List<InstructionRow> choosing = List.of(test.get(0), test.get(2), test.get(4)), reported = List.of(test.get(1), test.get(3));
            assertEquals(new GridResult.Losses(loss(model, choosing), loss(model, reported)), result.base().get("en"));
            GridResult.Run run = result.runs().get(2);
            Path saved = temp.resolve("whole/en/k_proj+v_proj/lr-0.01/seed-42");
            try (LoraAdapter adapter = LoraAdapter.load(model, saved, false)) {
                assertEquals(TARGETS.get(1), adapter.config().targetModules());
                assertEquals(new GridResult.Losses(loss(model, choosing), loss(model, reported)), run.losses());
            }
            assertTrue(run.losses().choosing() < result.base().get("en").choosing(), run.toString());

            // what is kept is not measured again, unless it is of other rows
            Path losses = saved.resolve("losses.json");
            String kept = Files.readString(losses);
            Files.writeString(losses, kept.replaceAll("\"choosing\": [\\d.]+", "\"choosing\": 1.5"));
            assertEquals(1.5, grid.run(cells.subList(2, 3), GridListener.SILENT).runs().getFirst().losses().choosing());
            TargetGrid fewer = new TargetGrid(model, SupervisedTokenizer.of(tokenizer), List.of(SETS.getFirst().first(4, 4)), LORA, CONFIG, temp.resolve("whole"));
            GridResult onFewer = fewer.run(cells.subList(2, 3), GridListener.SILENT);
            assertEquals(loss(model, List.of(test.get(0), test.get(2))), onFewer.base().get("en").choosing());
            assertNotEquals(1.5, onFewer.runs().getFirst().losses().choosing());
            Files.writeString(losses, kept);

            List<Integer> firstSteps = new ArrayList<>();
            List<GridCell> larger = new ArrayList<>(cells);
            larger.addAll(result.bestWithSeeds(43));
            GridResult more = grid.run(larger, (number, count, cell) -> event -> {
                if (event instanceof TrainEvent.Started started) {
                    firstSteps.add(started.firstStep());
                }
            });
            assertEquals(List.of(4, 4, 4, 4, 4, 4, 4, 4, 1, 1, 1, 1), firstSteps, "what is there is read, what is new is trained");
            assertEquals(found(result), found(more).subList(0, 8));
            assertNotEquals(more.runs().getLast().losses(), more.runs().get(6).losses(), "another seed");
        }
    }

    @Test
    void aStoppedGridGoesOn() throws IOException {
        try (CausalLm model = load()) {
            TargetGrid grid = grid(model, "stopped");
            List<GridCell> cells = grid.cells(TARGETS.subList(0, 1), 1e-2);
            InterruptedIOException stopped = assertFails(InterruptedIOException.class, () -> grid.run(cells, (number, count, cell) -> event -> {
                if (number == 2 && event instanceof TrainEvent.StepEnd step && step.step() == 2) {
                    Thread.currentThread().interrupt();
                }
            }), "grid: stopped in zh, q_proj, learning rate 0.01, seed 42 after step 2; run it again with the same output folder, " + temp.resolve("stopped"));
            assertTrue(Thread.interrupted(), () -> "the flag stays set: " + stopped);
            List<Integer> firstSteps = new ArrayList<>();
            GridResult result = grid.run(cells, (number, count, cell) -> event -> {
                if (event instanceof TrainEvent.Started started) {
                    firstSteps.add(started.firstStep());
                }
            });
            assertEquals(List.of(4, 3), firstSteps);
            assertEquals(found(grid(model, "uninterrupted").run(cells, GridListener.SILENT)), found(result));
            TargetGrid other = new TargetGrid(model, SupervisedTokenizer.of(tokenizer), SETS, LORA, CONFIG.withMaxSteps(4), temp.resolve("stopped"));
            assertFails(IOException.class, () -> other.run(cells, GridListener.SILENT), "is a checkpoint of another run", "max_steps was 3, now it is 4");
        }
    }

    @Test
    void aTrainingThatDivergesCountsAsInfinite() throws IOException {
        try (CausalLm model = load()) {
            TargetGrid grid = grid(model, "diverged");
            GridResult result = grid.run(grid.cells(TARGETS.subList(0, 1), 1e-2, 1e30), GridListener.SILENT);
            assertEquals(Double.POSITIVE_INFINITY, result.runs().get(1).losses().choosing(), found(result).toString());
            assertEquals(List.of(1e-2, 1e-2), result.best().stream().map(GridResult.Best::learningRate).toList());
        }
    }

    @Test
    void whatIsMissingIsSaidBeforeAnythingIsTrained() throws IOException {
        try (CausalLm model = load()) {
            TargetGrid grid = grid(model, "refused");
            List<GridCell> cells = new ArrayList<>(grid.cells(TARGETS, 1e-3));
            cells.add(new GridCell("ja", TARGETS.getFirst(), 1e-3, 42));
            assertFails(IllegalArgumentException.class, () -> grid.run(cells, GridListener.SILENT), "grid: a cell has data set \"ja\", given are en, zh");
            assertFails(IllegalArgumentException.class, () -> grid.run(List.of(new GridCell("en", TargetModules.names("q_prj"), 1e-3, 42)), GridListener.SILENT), "near it: \"q_proj\"");
            TargetGrid few = new TargetGrid(model, SupervisedTokenizer.of(tokenizer), List.of(SETS.getFirst().first(4, 1)), LORA, CONFIG, temp.resolve("refused"));
            assertFails(IllegalArgumentException.class, () -> few.run(few.cells(TARGETS, 1e-3), GridListener.SILENT), "grid: en has 1 held-out rows, there must be at least 2");
            assertFalse(Files.exists(temp.resolve("refused")), "nothing is written");
        }
    }

    @Test
    void everyCellHasAFolderOfItsOwn() {
        GridCell cell = new GridCell("zh", new TargetModules.AllLinear(), 1e-4, 7);
        assertEquals(Path.of("g/zh/all-linear/lr-1.0E-4/seed-7"), cell.folder(Path.of("g")));
        Path one = new GridCell("zh", new TargetModules.Regex(".*[0-3].*q_proj"), 1e-4, 7).folder(Path.of("g")), other = new GridCell("zh", new TargetModules.Regex(".+[0-3].+q_proj"), 1e-4, 7).folder(Path.of("g"));
        assertNotEquals(one, other);
        assertTrue(one.toString().contains("regex-"), one.toString());
    }
}
