package jqlora.notebook;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.TinyModel;
import jqlora.data.InstructionRow;
import jqlora.data.InstructionSet;
import jqlora.data.TokenizedRow;
import jqlora.device.Device;
import jqlora.evaluate.MergeReport;
import jqlora.experiment.GridCell;
import jqlora.experiment.GridResult;
import jqlora.experiment.TargetGrid;
import jqlora.experiment.TargetPlan;
import jqlora.generate.GenerationConfig;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.lora.TargetModules;
import jqlora.model.LoadOptions;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.train.LearningRate;
import jqlora.train.SftConfig;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;
import jqlora.train.TrainingPlan;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The front door where there is no notebook: on the command line, everything shown is printed. */
class QloraTest {
    @TempDir
    static Path temp;
    private static Path folder;

    @BeforeAll
    static void write() throws IOException {
        try (CpuOps ops = CpuOps.create()) {
            folder = TinyModel.llama().writeWithTokenizer(temp.resolve("tiny-llama"), DType.F32, 3, ops);
        }
    }

    @FunctionalInterface
    private interface Body {
        void run() throws IOException;
    }

    /** What {@code body} prints. */
    private static String printed(Body body) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        PrintStream before = System.out;
        System.setOut(new PrintStream(bytes, true, StandardCharsets.UTF_8));
        try {
            body.run();
        } finally {
            System.setOut(before);
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    private static OpenModel open(LoadOptions options) throws IOException {
        OpenModel[] open = new OpenModel[1];
        String printed = printed(() -> open[0] = Qlora.openModel(folder, options));
        assertTrue(printed.contains("loading tiny-llama [####################] 100/100 in "), printed);
        return open[0];
    }

    @Test
    void aClosedModelSaysThatItWasClosed() throws IOException {
        OpenModel open = open(LoadOptions.asStored());
        open.close();
        String why = ": the model tiny-llama was closed; open it again with openModel(Path.of(\"" + folder + "\"), ...)";
        assertFails(IllegalStateException.class, () -> open.ask("What is a bee?"), "ask" + why);
        assertFails(IllegalStateException.class, () -> open.tokenize(List.of()), "tokenizing" + why);
        assertFails(IllegalStateException.class, () -> open.addAdapter(LoraConfig.defaults()), "adding an adapter" + why);
        assertFails(IllegalStateException.class, open::model, "model" + why);
        assertTrue(Rendered.of(open).text().endsWith(", closed"), Rendered.of(open).text());
    }

    @Test
    void aTrainingBesideTheNotebookHasTheModelForItself() throws Exception {
        InstructionSet set = new InstructionSet("en", List.of(InstructionRow.of("What is a bee?", "An insect."), InstructionRow.of("What is a fir?", "A tree.")),
                List.of(InstructionRow.of("What is an ant?", "An insect.")));
        SftConfig config = SftConfig.defaults().withMaxSteps(10_000).withBatchSize(2);
        try (OpenModel open = open(LoadOptions.asStored()); LoraAdapter adapter = open.addAdapter(LoraConfig.defaults().withR(2).withTargetModules("q_proj"))) {
            Training[] run = new Training[1];
            String printed = printed(() -> {
                run[0] = Qlora.fineTuneInBackground(open, adapter, set, config, temp.resolve("background"));
                try {
                    assertEquals(1, run[0].betweenSteps(() -> open.ask(set.test())).size());
                    String why = " is being trained in the background (en); wait for it with await(), end it with stop(), or use betweenSteps(...) of that training";
                    assertFails(IllegalStateException.class, () -> open.ask("What is a bee?"), "ask: the model tiny-llama" + why);
                    assertFails(IllegalStateException.class, adapter::detach, "putting an adapter in force or out of force: the model tiny-llama" + why);
                    assertFails(IllegalStateException.class, open::close, "closing: the model tiny-llama" + why);
                    assertFails(IllegalStateException.class, () -> Qlora.fineTune(open, adapter, set, config, temp.resolve("other")), "fineTune: the model tiny-llama" + why);
                } catch (IOException failed) {
                    throw failed;
                } catch (Exception other) {
                    throw new IllegalStateException(other);
                } finally {
                    run[0].stop();
                }
            });
            TrainResult result = run[0].await();
            assertTrue(result.interrupted() && !result.steps().isEmpty(), result::toString);
            assertTrue(Files.isDirectory(temp.resolve("background/checkpoint-" + result.steps().size())), printed);
            assertTrue(run[0].text().contains("stopped: saved at step " + result.steps().size()), run[0].text());
            assertEquals(1, open.ask(set.test()).size());
        }
    }

    @Test
    void adaptersHaveNamesAndOneIsInForce() throws IOException {
        LoraConfig q = LoraConfig.defaults().withR(2).withTargetModules("q_proj"), v = q.withTargetModules("v_proj");
        try (OpenModel open = open(LoadOptions.asStored())) {
            LoraAdapter first = open.addAdapter(q), again = open.addAdapter(q);
            assertTrue(!first.isAttached() && again.isAttached(), "a cell that ran twice");
            LoraAdapter second = open.addAdapter("second", v);
            assertFails(IllegalArgumentException.class, () -> open.addAdapter("third", q.withTargetModules("no_proj")), "no_proj");
            assertTrue(again.isAttached() && second.isAttached(), "what cannot be made changes nothing; they have no layer in common");
            LoraAdapter both = open.addAdapter("both", q.withTargetModules("q_proj", "v_proj"));
            assertTrue(both.isAttached() && !again.isAttached() && !second.isAttached());
            assertEquals(again, open.useAdapter("default"));
            assertTrue(again.isAttached() && !second.isAttached() && !both.isAttached());
            open.dropAdapter("both");
            open.useNoAdapter();
            assertFalse(again.isAttached());
            InstructionSet set = new InstructionSet("en", List.of(InstructionRow.of("What is a bee?", "An insect.")), List.of());
            assertFails(IllegalArgumentException.class, () -> Qlora.fineTune(open, again, set, SftConfig.defaults(), temp.resolve("never")),
                    "training: the adapter (r 2, alpha 16, dropout 0.1, q_proj) is not in force, so it would learn nothing; put it in force with attach()");
            String text = Rendered.of(open.adapters()).text();
            assertTrue(text.contains("default") && text.contains("second") && text.contains("out of force") && !text.contains(" in force"), text);
            assertFails(IllegalArgumentException.class, () -> open.useAdapter("secnd"), "\"secnd\" is no adapter of this model; near it: \"second\"; it has default, second");
            open.merge(open.useAdapter("second"));
            assertFails(IllegalArgumentException.class, () -> open.dropAdapter("second"), "dropAdapter: second is merged into the weights; undo the merge first, with unmerge()");
            open.unmerge();
            again.save(temp.resolve("kept"), null);
            open.dropAdapter("second");
            open.dropAdapter("default");
            assertFails(IllegalArgumentException.class, () -> open.useAdapter("default"), "\"default\" is no adapter of this model, which has none");
            assertTrue(open.loadAdapter(temp.resolve("kept")).isAttached());
            assertTrue(Rendered.of(open.adapters()).text().contains("kept"));
        }
    }

    @Test
    void anAnswerComesPieceByPieceOrAsItIsConfigured() throws IOException {
        try (OpenModel open = open(LoadOptions.asStored())) {
            String[] whole = {""};
            String printed = printed(() -> whole[0] = open.stream("What is a bee?"));
            assertEquals(open.ask("What is a bee?"), whole[0]);
            assertEquals(whole[0], printed.strip());
            GenerationConfig one = GenerationConfig.defaults().withMaxNewTokens(1);
            assertTrue(whole[0].startsWith(open.ask("What is a bee?", one)));
        }
    }

    @Test
    void aPlanIsTheSameBeforeAndAfterLoading() throws IOException {
        LoraConfig lora = LoraConfig.defaults().withR(4);
        SftConfig config = SftConfig.defaults().withBatchSize(2);
        String before = Rendered.of(Qlora.plan(folder, LoadOptions.defaults(), lora, config, 16, 64)).text();
        try (OpenModel open = open(LoadOptions.defaults())) {
            String after = Rendered.of(open.plan(open.addAdapter(lora), config, 16, 64)).text();
            assertEquals(before, after);
            assertFails(IllegalArgumentException.class, () -> open.plan(open.addAdapter(lora), config, 0), "plan: lengths are [0], there must be one or more, each at least 1");
        }
        assertTrue(before.contains("kB") || before.contains("MB"), before);
        if (Qlora.ops() instanceof CpuOps) {
            assertTrue(before.contains(" yes") && before.endsWith("of " + ShortNumber.bytes(Qlora.machine().memoryBytes()) + " that may be used"), before);
            TrainingPlan plan = Qlora.plan(folder, LoadOptions.defaults(), lora, config, 64);
            assertEquals(List.of("yes", "no"), List.of(plan.perLength().getFirst().fits(), plan.within(100_000).perLength().getFirst().fits()));
        }
        assertFails(IOException.class, () -> Qlora.plan(temp, LoadOptions.defaults(), lora, config, 16), "config.json");
    }

    @Test
    void aPlanForAnotherCardSaysWhatFits() throws IOException {
        LoraConfig lora = LoraConfig.defaults().withR(4);
        SftConfig config = SftConfig.defaults().withBatchSize(2);
        String large = Rendered.of(Qlora.planOnGpu(8_000_000_000L, folder, LoadOptions.defaults(), lora, config, 16, 64)).text();
        assertTrue(large.contains("yes") && large.endsWith("of 8.00 GB that may be used"), large);
        assertTrue(Rendered.of(Qlora.planOnGpu(100_000, folder, LoadOptions.defaults(), lora, config, 64)).text().contains(" no"));
        assertFails(IllegalArgumentException.class, () -> Qlora.planOnGpu(0, folder, LoadOptions.defaults(), lora, config, 64), "planOnGpu: gpuBytes is 0, it must be at least 1");
    }

    @Test
    void aFileOfRowsIsADataSet() throws IOException {
        Path file = Files.writeString(temp.resolve("my.rows.jsonl"), IntStream.range(0, 8).mapToObj(i -> "{\"instruction\": \"Say " + i + ".\", \"output\": \"" + i + "\"}\n").collect(Collectors.joining()));
        InstructionSet set = Qlora.dataSet(file, 2);
        assertEquals("my.rows: 6 rows, 2 held out", set.toString());
        assertEquals(set, Qlora.dataSet(file, 2), "the same each time");
        assertFails(IllegalArgumentException.class, () -> Qlora.dataSet(file, 8), "my.rows: testRows is 8 and there are 8 rows");
        assertFails(IOException.class, () -> Qlora.dataSet(temp.resolve("none.jsonl"), 2), "none.jsonl: does not exist");
    }

    @Test
    void modelsAreOpenedByName() throws IOException {
        printed(() -> {
            try (OpenModel byPath = Qlora.openModel(folder.toString()); OpenModel embedded = Qlora.openModel("jqlora-tiny")) {
                assertEquals("tiny-llama", byPath.name());
                assertEquals("jqlora-tiny", embedded.name());
            }
        });
    }

    @Test
    void aSecondBackendIsRefused() {
        String open = Qlora.ops().description();
        Device other = Device.cuda(0).withPrecision(Qlora.FP8).withBudget(Qlora.gigabytes(8));
        assertFails(IllegalStateException.class, () -> Qlora.useDevice(other),
                "the backend of this notebook is open already: " + open + "; to compute on cuda:0, FP8, at most 8000000000 bytes choose it before the first model");
    }

    @Test
    void gigabytesAreBytesInPowersOfTen() {
        assertEquals(8_000_000_000L, Qlora.gigabytes(8));
        assertEquals(500_000_000L, Qlora.gigabytes(0.5));
        for (double wrong : new double[] {0, -1, 2e9, Double.NaN}) {
            assertFails(IllegalArgumentException.class, () -> Qlora.gigabytes(wrong), "gigabytes: " + wrong + " must be above 0");
        }
    }

    @Test
    void aModelIsOpenedTrainedAskedMergedAndSaved() throws IOException {
        List<InstructionRow> rows = Qlora.dataSet("en-wiki-questions").first(2, 1).train();
        InstructionSet set = new InstructionSet("en-wiki-questions", rows, rows);          // what is trained on is certain to become likelier
        SftConfig config = SftConfig.defaults().withBatchSize(2).withMaxSteps(3).withLearningRate(LearningRate.constant(5e-3));
        Path output = temp.resolve("run"), saved = temp.resolve("saved");
        List<String> before, after;
        try (OpenModel open = open(LoadOptions.defaults())) {
            assertEquals("tiny-llama: llama, 2 layers, hidden 64 on " + Qlora.ops().name(), open.toString());
            before = open.ask(set.test());
            double lossBefore = open.loss(set.test()).loss();
            try (LoraAdapter adapter = open.addAdapter(LoraConfig.defaults().withR(4).withLoraDropout(0))) {
                assertEquals(before, open.ask(set.test()), "a new adapter changes nothing");
                TrainResult[] result = new TrainResult[1];
                String printed = printed(() -> result[0] = Qlora.fineTune(open, adapter, set, config, output));
                assertEquals(3, result[0].steps().size());
                assertTrue(printed.contains("en-wiki-questions [####################] 3/3 in ") && printed.contains(", held out ") && printed.contains("tokens/s"), printed);
                assertEquals(lossBefore, result[0].evaluations().getFirst().loss());
                double tuned = open.loss(set.test()).loss();
                assertEquals(result[0].evaluations().getLast().loss(), tuned);
                assertTrue(tuned < lossBefore, tuned + " after, " + lossBefore + " before");
                after = open.ask(set.test());
                MergeReport ways = open.mergeReport(adapter, set.test());
                assertEquals(List.of(MergeRoute.values()), ways.rows().stream().map(MergeReport.Row::route).toList());
                assertEquals(tuned, ways.tunedLoss());
                assertEquals(tuned, open.loss(set.test()).loss(), "every merge was undone");
                try (Merger.Merged merged = open.merge(adapter, MergeRoute.ONTO_BASE)) {
                    open.save(saved);
                    merged.unmerge();
                }
            }
            try (LoraAdapter loaded = open.loadAdapter(output)) {
                assertEquals(after, open.ask(set.test()), "the adapter that was saved");
                assertEquals(folder.toString(), Oracle.json(output.resolve("adapter_config.json")).get("base_model_name_or_path").getAsString(), "the path as given");
                assertFalse(loaded.factors().isEmpty());
            }
        }
        assertTrue(Files.isRegularFile(saved.resolve("tokenizer.json")) && Files.isRegularFile(saved.resolve("model.safetensors")), "a folder of its own");
        assertNotEquals(before, after);
    }

    /** A cell that makes or loads an adapter can be run again; adapters of other layers stay in force. */
    @Test
    void aNewAdapterTakesThePlaceOfThoseInItsLayers() throws IOException {
        LoraConfig q = LoraConfig.defaults().withR(2).withTargetModules("q_proj"), v = q.withTargetModules("v_proj");
        try (OpenModel open = open(LoadOptions.asStored()); LoraAdapter first = open.addAdapter(q); LoraAdapter other = open.addAdapter("other", v)) {
            assertTrue(first.isAttached() && other.isAttached());
            first.save(temp.resolve("first"), "tiny-llama");
            try (LoraAdapter second = open.addAdapter(q)) {
                assertTrue(second.isAttached() && other.isAttached() && !first.isAttached());
                assertFails(IOException.class, () -> open.loadAdapter(temp.resolve("nowhere")), "nowhere");
                assertTrue(second.isAttached() && other.isAttached(), "a load that failed changes nothing");
                try (LoraAdapter loaded = open.loadAdapter(temp.resolve("first"))) {
                    assertTrue(loaded.isAttached() && other.isAttached() && !second.isAttached());
                }
            }
            first.attach();
            try (LoraAdapter changed = open.addAdapter(q.withTargetModules("k_proj"))) {
                assertTrue(changed.isAttached() && other.isAttached());
            }
            try (LoraAdapter both = open.addAdapter(q.withTargetModules("q_proj", "v_proj"))) {
                assertTrue(both.isAttached() && !first.isAttached() && !other.isAttached());
            }
        }
    }

    @Test
    void aMergeReportHasTheRoutesThatTheFolderAllows() throws IOException {
        List<InstructionRow> rows = List.of(InstructionRow.of("What is a bee?", "An insect."));
        Path fourBit = temp.resolve("in-4-bits");
        try (OpenModel open = open(LoadOptions.defaults()); LoraAdapter adapter = open.addAdapter(LoraConfig.defaults().withR(2).withLoraDropout(0))) {
            MergeReport report = open.mergeReport(adapter, rows);
            assertEquals(List.of(MergeRoute.values()), report.rows().stream().map(MergeReport.Row::route).toList(), "the folder has numbers");
            assertTrue(adapter.isAttached());
            assertEquals(report.tunedLoss(), open.loss(rows).loss(), "nothing has changed");
            adapter.detach();
            assertFails(IllegalArgumentException.class, () -> open.mergeReport(adapter, rows), "merge report: the adapter is not in force");
            open.save(fourBit);
        }
        OpenModel[] saved = new OpenModel[1];
        String loading = printed(() -> saved[0] = Qlora.openModel(fourBit, LoadOptions.defaults()));
        assertTrue(loading.contains("[####################] 100/100 in "), loading);
        try (OpenModel open = saved[0]; LoraAdapter adapter = open.addAdapter(LoraConfig.defaults().withR(2).withLoraDropout(0))) {
            assertEquals(List.of(MergeRoute.ONTO_BASE, MergeRoute.STOCHASTIC_4BIT, MergeRoute.PEFT_4BIT),
                    open.mergeReport(adapter, rows).rows().stream().map(MergeReport.Row::route).toList(), "a folder in 4 bits is no original");
        }
    }

    @Test
    void theDataSetsThatShipAreFoundByName() throws IOException {
        for (TargetPlan.Entry entry : TargetPlan.defaults().entries()) {
            InstructionSet set = Qlora.dataSet(entry.dataSet());
            assertEquals(entry.dataSet(), set.name());
            assertTrue(set.train().size() > 100 && set.test().size() >= 50, set::toString);
            assertTrue(set.test().stream().noneMatch(set.train()::contains), set + ": a held-out row is trained on");
        }
        assertFails(IOException.class, () -> Qlora.dataSet("zh-riddle"), "zh-riddle: is not a folder; there are en-wiki-questions, ja-phrases, zh-riddles");
    }

    @Test
    void aFolderThatIsNotThereIsNamedWithThoseNearIt() {
        assertFails(IOException.class, () -> open(temp.resolve("tiny-lama")), "tiny-lama: is not a folder; near it: \"tiny-llama\"");
        assertFails(IOException.class, () -> open(temp.resolve("something/else")), "else: is not a folder");
        assertFails(IOException.class, () -> open(temp), "tokenizer.json: does not exist");
    }

    private static void open(Path wrong) throws IOException {
        IOException[] thrown = new IOException[1];
        printed(() -> {
            try (OpenModel open = Qlora.openModel(wrong, LoadOptions.defaults())) {
                assertTrue(open == null, () -> wrong + " must not open");
            } catch (IOException refused) {
                thrown[0] = refused;
            }
        });
        throw thrown[0];
    }

    @Test
    void aFreshFolderIsEmptyAndOnlyPlainNamesAreTaken() throws IOException {
        Path fresh = Qlora.freshFolder("test-fresh-folder");
        try {
            assertEquals(Path.of(".jqlora", "work", "test-fresh-folder").toAbsolutePath(), fresh.toAbsolutePath());
            Files.createDirectories(fresh.resolve("deep/deeper"));
            Files.writeString(fresh.resolve("deep/deeper/file"), "old");
            assertEquals(fresh, Qlora.freshFolder("test-fresh-folder"));
            try (Stream<Path> left = Files.list(fresh)) {
                assertEquals(List.of(), left.toList());
            }
        } finally {
            Files.delete(fresh);
        }
        for (String name : List.of("../up", "a/b", ".hidden", "", "..", "a b")) {
            assertFails(IllegalArgumentException.class, () -> Qlora.freshFolder(name), "freshFolder: \"" + name + "\" must be a plain name");
        }
    }

    @Test
    void theShippedModelIsKnownByItsFolder() {
        assertTrue(Qlora.isEmbedded(Path.of("models/jqlora-tiny").toAbsolutePath()));
        assertFalse(Qlora.isEmbedded(Path.of("models/jqlora-tiny-2")));
        assertFalse(Qlora.isEmbedded(temp));
    }

    @Test
    void aPreviewShowsWhatIsReadAndWhatIsLearned() throws IOException {
        try (OpenModel open = open(LoadOptions.asStored())) {
            LabelPreview preview = Qlora.preview(open, InstructionRow.of("Is a < b?", "Yes & no"));
            String text = preview.text(), html = preview.html();
            int tokens = open.tokenize(List.of(InstructionRow.of("Is a < b?", "Yes & no"))).rows().getFirst().length();
            int learned = open.tokenizer().encode("Yes & no").length + 1;
            assertTrue(text.contains("### Instruction:\nIs a < b?\n") && text.contains("\n>>> trained on: Yes & no" + open.tokenizer().decodeWithSpecialTokens(open.tokenizer().eosId())), text);
            assertTrue(text.endsWith("\n(" + tokens + " tokens, of which " + learned + " are trained on (bold))"), text);
            assertTrue(html.contains("Is a &lt; b?<br>") && html.contains("<mark><b>Yes &amp; no") && !html.contains("a < b"), html);
            TokenizedRow row = open.tokenize(List.of(InstructionRow.of("Is a < b?", "Yes & no"))).rows().getFirst();
            boolean[] mask = new boolean[tokens];
            mask[tokens - 1] = true;                           // a mask of one's own
            String own = Qlora.preview(open, new TokenizedRow(row.ids(), mask, row.source())).text();
            assertTrue(own.contains("Yes & no\n>>> trained on: ") && own.endsWith("\n(" + tokens + " tokens, of which 1 are trained on (bold))"), own);
        }
    }

    @Test
    void anExperimentSaysWhichAdapterIsTrained() throws IOException {
        TargetPlan.Entry entry = TargetPlan.defaults().entries().get(2);
        String printed = printed(() -> play(Qlora.experimentView().training(3, 3, entry)));
        assertTrue(printed.contains("ja-phrases -> k_proj (3 of 3) [####################] 2/2 in "), printed);
    }

    @Test
    void aGridHasOneBarForAllItsTrainings() throws IOException {
        List<InstructionRow> rows = List.of(InstructionRow.of("Who?", "A poet."), InstructionRow.of("What?", "A bee."));
        try (OpenModel open = open(LoadOptions.defaults())) {
            TargetGrid grid = new TargetGrid(open.model(), open.rows(), List.of(new InstructionSet("en", rows, rows)), LoraConfig.defaults().withR(2), SftConfig.defaults().withBatchSize(2).withMaxSteps(1),
                    temp.resolve("grid"));
            List<GridCell> cells = grid.cells(List.of(TargetModules.names("q_proj"), TargetModules.names("v_proj")), 1e-3);
            GridResult[] result = new GridResult[1];
            String printed = printed(() -> result[0] = Qlora.runGrid(grid, cells));
            assertTrue(printed.contains("grid [####################] 2/2 in ") && printed.contains("en, v_proj, learning rate 0.001, seed 42"), printed);
            assertEquals(2, result[0].runs().size());
        }
    }

    /** A run that goes on from step 2 of 2. */
    private static void play(TrainListener view) {
        view.on(new TrainEvent.Started(2, 2, 10, 4, 20));
        view.on(new TrainEvent.StepEnd(2, 1, 2.5, 1, 1e-3, 100, 0.5, 3_000_000));
        view.on(new TrainEvent.Evaluated(2, 1.25));
        view.on(new TrainEvent.Ended(2, false, 0.5));
    }

    @Test
    void aTrainingViewIsOneOutputWithBarFiguresAndChart() {
        RecordingScreen screen = new RecordingScreen();
        play(new TrainingView(screen, "zh", null, System::nanoTime));
        List<String> shown = screen.shown();
        assertEquals("open zh [##########..........] 1/2 (50%)", shown.getFirst());
        assertEquals("last zh [####################] 2/2 in 0.5 s, loss 2.500, held out 1.250 at step 2, learning rate 0.001, 200 tokens/s, 3.0 MB", shown.getLast());
        assertTrue(screen.contents.getLast().html().orElseThrow().contains("<img src=\"data:image/png;base64,"));
    }

    @Test
    void whatIsShownIsPrinted() throws IOException {
        assertEquals("42\n", printed(() -> Qlora.show(42)).replace(System.lineSeparator(), "\n"));
        String counted = printed(() -> {
            int sum = 0;
            for (int item : Qlora.progress("items", List.of(1, 2, 3))) {
                sum += item;
            }
            assertEquals(6, sum);
        });
        assertTrue(counted.contains("items [####################] 3/3 in "), counted);
    }
}
