package jqlora.notebook;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import jqlora.data.InstructionFile;
import jqlora.data.InstructionRow;
import jqlora.data.InstructionSet;
import jqlora.data.TokenizedRow;
import jqlora.data.TokenizedSet;
import jqlora.device.Device;
import jqlora.device.Precision;
import jqlora.experiment.ExperimentListener;
import jqlora.experiment.GridCell;
import jqlora.experiment.GridResult;
import jqlora.experiment.TargetGrid;
import jqlora.format.FolderUse;
import jqlora.format.HfConfig;
import jqlora.format.HubAccess;
import jqlora.format.ModelName;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.CausalLm;
import jqlora.model.EditedWeights;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.MemoryPlanner;
import jqlora.ops.Ops;
import jqlora.train.SftConfig;
import jqlora.train.SftTrainer;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;
import jqlora.train.TrainedWeights;
import jqlora.train.TrainingPlan;

/**
 * The front door for notebooks: every method is there without a prefix in our kernel, and after
 * {@code import static jqlora.notebook.Qlora.*;} anywhere else. In a notebook values appear as tables, pictures and bars; on the
 * command line as text.
 */
public final class Qlora {
    private static final int PERCENT = 100;
    private static final long SPLIT_SEED = 42;

    /** For {@code Device.cuda(0).withPrecision(FP8)}. */
    public static final Precision FP8 = Precision.FP8, BF16 = Precision.BF16;

    private Qlora() { }

    /**
     * Shows {@code value} below the cell: a table, a chart, an array, one of our reports, or anything else as text.
     *
     * <pre>{@code
     * show(model.memory());
     * }</pre>
     */
    public static void show(Object value) {
        Screen.current().show(Rendered.of(value));
    }

    /**
     * Shows {@code table} in at most {@code rows} rows.
     *
     * <pre>{@code
     * show(dataSet("en-wiki-questions").train(), 5);
     * }</pre>
     */
    public static void show(Object table, int rows) {
        Screen.current().show(Rendered.of(table, rows));
    }

    /**
     * Shows {@code value} like {@link #show(Object)} and returns the handle that replaces it.
     *
     * <pre>{@code
     * Display state = display("waiting");
     * state.update("done");
     * }</pre>
     */
    public static Display display(Object value) {
        return new Display(Screen.current(), value, Display.DEFAULT_INTERVAL);
    }

    /**
     * Takes away what the cell has shown and printed so far.
     *
     * <pre>{@code
     * clearOutput();
     * }</pre>
     */
    public static void clearOutput() {
        Screen.current().clear();
    }

    /**
     * A progress bar for {@code total} pieces of work; close it at the end.
     *
     * <pre>{@code
     * try (Progress bar = progress("steps", 3)) {
     *     for (int i = 0; i < 3; i++) bar.step();
     * }
     * }</pre>
     * @param total at least 1
     */
    public static Progress progress(String label, long total) {
        return new Progress(Screen.current(), label, total, System::nanoTime);
    }

    /**
     * {@code items} for a for-each loop, with a bar that moves as they are taken.
     *
     * <pre>{@code
     * for (String text : progress("texts", texts)) count(text);
     * }</pre>
     */
    public static <T> Iterable<T> progress(String label, Collection<T> items) {
        return Progress.over(Screen.current(), label, items);
    }

    /**
     * A line chart that grows as points are added to it; close it at the end.
     *
     * <pre>{@code
     * try (LiveChart loss = liveChart("Loss", "step", "loss")) {
     *     loss.add("train", 1, 4.2);
     * }
     * }</pre>
     */
    public static LiveChart liveChart(String title, String xTitle, String yTitle) {
        return new LiveChart(Screen.current(), title, xTitle, yTitle);
    }

    // ---- models and data

    /**
     * The backend of this notebook, made at the first use: all models share its memory. It is the first NVIDIA GPU that can be used, else the processor;
     * {@code ./jqlora lab --device} and {@code run --device}, or the environment variable JQLORA_DEVICE, name another. {@code --threads}, or
     * JQLORA_THREADS, says on how many threads the processor computes.
     *
     * <pre>{@code
     * ops().description()
     * }</pre>
     */
    public static Ops ops() {
        return BACKEND.get();
    }

    /**
     * Computes where {@code device} says: {@code auto}, {@code cpu}, {@code cuda} or {@code cuda:1}; for a first cell. {@code auto} is what was chosen outside of
     * the notebook ({@code --device}, JQLORA_DEVICE), else the first GPU that can be used, else the processor. A second call with the same device changes nothing.
     *
     * <pre>{@code
     * useDevice("cpu");
     * }</pre>
     * @throws IllegalStateException if the backend is open already on another device
     * @throws IllegalArgumentException for another name
     * @throws RuntimeException if a GPU that is asked for by name cannot be used; the message says what is missing
     */
    public static Ops useDevice(String device) {
        return useDevice(Device.parse("useDevice: the device", device));
    }

    /**
     * As {@link #useDevice(String)}, with how it is used, such as {@code Device.cpu().withThreads(1)} or
     * {@code Device.cuda(0).withPrecision(FP8).withBudget(gigabytes(8))}.
     *
     * <pre>{@code
     * useDevice(Device.cpu());
     * }</pre>
     */
    public static Ops useDevice(Device device) {
        return BACKEND.on(device);
    }

    /**
     * Gigabytes as bytes, in powers of ten.
     *
     * <pre>{@code
     * gigabytes(7.5)
     * }</pre>
     * @param gigabytes above 0, at most a thousand million
     */
    public static long gigabytes(double gigabytes) {
        if (!(gigabytes > 0 && gigabytes <= 1e9)) {
            throw new IllegalArgumentException("gigabytes: " + gigabytes + " must be above 0 and at most 1e9, such as gigabytes(8)");
        }
        return Math.max(1, Math.round(gigabytes * 1e9));
    }

    /**
     * What this machine has: processor, cores, memory, GPU, and what models compute on. Opens the backend, as {@link #ops}.
     *
     * <pre>{@code
     * machine()
     * }</pre>
     */
    public static Machine machine() {
        return Machine.of(ops(), Home.nvidia());
    }

    private static final NotebookBackend BACKEND = new NotebookBackend();

    /**
     * The folder of the model that {@code ./jqlora run --model} names, or of the small one that ships with jqlora.
     *
     * <pre>{@code
     * OpenModel opened = openModel(chosenModel());
     * }</pre>
     */
    public static Path chosenModel() {
        return Home.model();
    }

    /**
     * Whether {@code folder} is the small model that ships with jqlora.
     *
     * <pre>{@code
     * int steps = isEmbedded(chosenModel()) ? 60 : 20;
     * }</pre>
     */
    public static boolean isEmbedded(Path folder) {
        return Home.isEmbedded(folder);
    }

    /**
     * Opens the model of that name in 4 bits, with what {@link LoadOptions#defaults} says: a folder, {@code jqlora-tiny}, which ships with jqlora, or a model of
     * the Hub as {@code owner/name} or {@code owner/name@revision}, downloaded into the cache that transformers uses too.
     *
     * <pre>{@code
     * OpenModel model = openModel("jqlora-tiny");
     * }</pre>
     * @throws IOException if it is nothing of these, or cannot be downloaded or read; the message says what would do
     */
    public static OpenModel openModel(String model) throws IOException {
        return openModel(model, LoadOptions.defaults());
    }

    /**
     * As {@link #openModel(String)}, with other options.
     *
     * <pre>{@code
     * openModel("jqlora-tiny", LoadOptions.asStored())
     * }</pre>
     */
    public static OpenModel openModel(String model, LoadOptions options) throws IOException {
        return openModel(NamedModel.folder(model, Home.folder().resolve(Home.EMBEDDED),
                () -> HubAccess.standard(System.getenv(), Path.of(System.getProperty("user.home"))), Screen.current(), Qlora::show), options);
    }

    /**
     * Opens the model in {@code folder} in 4 bits, as {@link #openModel(String)}.
     *
     * <pre>{@code
     * openModel(chosenModel())
     * }</pre>
     */
    public static OpenModel openModel(Path folder) throws IOException {
        return openModel(folder, LoadOptions.defaults());
    }

    /**
     * Opens a model, with a bar that shows what is being read.
     *
     * <pre>{@code
     * openModel(chosenModel(), LoadOptions.defaults())
     * }</pre>
     */
    public static OpenModel openModel(Path folder, LoadOptions options) throws IOException {
        try (Progress bar = progress("loading " + ModelName.of(folder).title(), PERCENT)) {
            int[] shown = {0};
            LoadListener listener = loaded -> {
                int percent = (int) (PERCENT * loaded.bytesRead() / Math.max(1, loaded.bytesTotal()));
                bar.step(percent - shown[0]);
                shown[0] = percent;
                bar.note(loaded.toString());
            };
            BACKEND.use().require("openModel");
            OpenModel open = OpenModel.open(folder, options, ops(), listener, BACKEND.use());
            bar.step(PERCENT - shown[0]);                         // files of 4-bit weights hold more than weights
            open.tokenizer().notices().forEach(Qlora::show);
            open.model().loadReport().warnings().forEach(warning -> show("warning: " + warning));
            return open;
        }
    }

    /**
     * What training will take of a model that is not loaded: its {@code config.json} is enough, so that one knows before a download or a long wait whether the
     * card can do it. Nothing is read but that file, and nothing is taken.
     *
     * <pre>{@code
     * plan(chosenModel(), LoadOptions.defaults(), LoraConfig.defaults(), SftConfig.defaults().withBatchSize(4), 512, 2048)
     * }</pre>
     * @param folder a folder with a config.json
     * @param lengths tokens of a row
     * @throws IOException if there is no config.json, or it is of a family that is not known
     */
    public static TrainingPlan plan(Path folder, LoadOptions options, LoraConfig lora, SftConfig config, int... lengths) throws IOException {
        return plan(ops(), folder, options, lora, config, lengths);
    }

    /**
     * As {@link #plan}, for an NVIDIA GPU that need not be here.
     *
     * <pre>{@code
     * planOnGpu(gigabytes(24), chosenModel(), LoadOptions.defaults(), LoraConfig.defaults(), SftConfig.defaults().withBatchSize(4), 512, 2048)
     * }</pre>
     * @param gpuBytes of its memory that may be taken; of a card of 24 GB the system may keep some
     * @param folder a folder with a config.json
     * @param lengths tokens of a row
     * @throws IOException if there is no config.json, or it is of a family that is not known
     */
    public static TrainingPlan planOnGpu(long gpuBytes, Path folder, LoadOptions options, LoraConfig lora, SftConfig config, int... lengths) throws IOException {
        if (gpuBytes < 1) {
            throw new IllegalArgumentException("planOnGpu: gpuBytes is " + gpuBytes + ", it must be at least 1");
        }
        return plan(Device.cuda(0).withBudget(gpuBytes).rehearsal(), folder, options, lora, config, lengths);
    }

    private static TrainingPlan plan(Ops ops, Path folder, LoadOptions options, LoraConfig lora, SftConfig config, int... lengths) throws IOException {
        try (CausalLm planned = MemoryPlanner.plannedModel(HfConfig.read(folder), options, ops); LoraAdapter adapter = LoraAdapter.create(planned, lora, 0)) {
            return Machine.planned(ops, TrainingPlan.of(adapter, config, lengths));
        }
    }

    /**
     * A data set that ships with jqlora, such as {@code en-wiki-questions}, {@code zh-riddles} or {@code ja-phrases}.
     *
     * <pre>{@code
     * dataSet("zh-riddles").train().getFirst()
     * }</pre>
     */
    public static InstructionSet dataSet(String name) throws IOException {
        return InstructionSet.read(Home.folder().resolve("datasets").resolve(name));
    }

    /**
     * Your own rows: a file in JSON Lines, or one array of objects, with {@code instruction}, {@code input} and {@code output} as {@link InstructionFile} reads
     * them. {@code testRows} of them, drawn by chance and the same each time, are held out.
     *
     * <pre>{@code
     * Path file = freshFolder("my-data").resolve("my-rows.jsonl");
     * Files.write(file, List.of("{'instruction': 'a', 'output': 'b'}".replace('\'', '"'), "{'instruction': 'c', 'output': 'd'}".replace('\'', '"')));
     * InstructionSet mine = dataSet(file, 1);
     * }</pre>
     * @param testRows 0 to the number of rows less one
     * @return a set with the file's name, less its ending
     * @throws IOException if the file cannot be read, or a row is not as it must be; the message names the row
     * @throws IllegalArgumentException if there are too few rows, as {@link InstructionSet#split}
     */
    public static InstructionSet dataSet(Path file, int testRows) throws IOException {
        String name = String.valueOf(file.getFileName()).replaceFirst("(?<=.)\\.[^.]*$", "");
        return InstructionSet.split(name, InstructionFile.read(file), testRows, SPLIT_SEED);
    }

    /**
     * A copy of the model in {@code folder} whose linear weights are what {@code edit} makes of them, in float32: what would become of the model if they were
     * rounded, cut or disturbed in some way? It lies in an empty folder of that name, for {@link #openModel}.
     *
     * <pre>{@code
     * Path halved = editedModel(chosenModel(), "fewer-digits", (name, weight) -> Int8Rows.of(weight).toFloats());
     * openModel(halved, LoadOptions.asStored()).loss(dataSet("en-wiki-questions").test())
     * }</pre>
     * @throws IOException if a file cannot be read or written, or the model's weights are in 4 bits already
     */
    public static Path editedModel(Path folder, String name, EditedWeights edit) throws IOException {
        return edit.write(folder, freshFolder(name));
    }

    /**
     * An empty folder for what this notebook writes.
     *
     * <pre>{@code
     * Path output = freshFolder("my-run");
     * }</pre>
     */
    public static Path freshFolder(String name) throws IOException {
        return Home.freshFolder(name);
    }

    /**
     * {@code row} as it is trained on: what is read, and what is learned.
     *
     * <pre>{@code
     * preview(model, english.train().getFirst())
     * }</pre>
     */
    public static LabelPreview preview(OpenModel open, InstructionRow row) {
        return preview(open, open.tokenize(List.of(row)).rows().getFirst());
    }

    /**
     * {@code row}, whose mask may be your own, as it is trained on.
     *
     * <pre>{@code
     * preview(model, model.tokenize(english.train()).rows().getFirst())
     * }</pre>
     */
    public static LabelPreview preview(OpenModel open, TokenizedRow row) {
        return new LabelPreview(row, open.tokenizer());
    }

    // ---- training

    /**
     * Trains {@code adapter} on {@code set}, with a bar and a chart. Stopping the cell ends the step, saves, and returns what there is, so that the rest of the
     * cell can show it; running the cell again goes on from there.
     *
     * <pre>{@code
     * TrainResult trained = fineTune(model, adapter, english, config, freshFolder("my-run"));
     * }</pre>
     */
    public static TrainResult fineTune(OpenModel open, LoraAdapter adapter, InstructionSet set, SftConfig config, Path output) throws IOException {
        open.require("fineTune");
        TrainResult result = trainer(open, adapter, set, config, output).train(trainingView(set.name()));
        if (result.interrupted()) {
            Thread.interrupted();                                 // heard: the trainer leaves the flag up for those who ask for it
        }
        return result;
    }

    private static SftTrainer trainer(OpenModel open, LoraAdapter adapter, InstructionSet set, SftConfig config, Path output) throws IOException {
        FolderUse.requireForAdapter(output);                      // before the long work
        TrainedWeights weights = new TrainedWeights.OfAdapter(adapter, open.model().name().text());
        TokenizedSet train = open.tokenize(set.train()), test = open.tokenize(set.test());
        train.notices().forEach(notice -> show(set.name() + ": " + notice));
        test.notices().forEach(notice -> show(set.name() + ", held out: " + notice));
        return new SftTrainer(weights, train.rows(), test.rows(), config, output);
    }

    /**
     * Trains as {@link #fineTune} does, but beside the notebook: further cells can run meanwhile, with other models and with what needs none. The model that
     * is trained is refused to them, and on a GPU the whole backend; {@link Training#betweenSteps} asks it all the same.
     *
     * <pre>{@code
     * Training run = fineTuneInBackground(model, adapter, dataSet("en-wiki-questions"), config, freshFolder("run"));
     * run.betweenSteps(() -> model.ask("What is an insect?"));
     * run.stop();                                    // after the step, saved; run.resume() goes on
     * TrainResult result = run.await();
     * }</pre>
     * @throws IllegalStateException if the model is closed, or trained already
     * @throws IOException if the folder holds a model
     */
    public static Training fineTuneInBackground(OpenModel open, LoraAdapter adapter, InstructionSet set, SftConfig config, Path output) throws IOException {
        SftTrainer trainer = trainer(open, adapter, set, config, output);
        return new Training(Screen.current(), set.name(), trainer::train, open.uses(), open.model().ops()).start();
    }

    /**
     * Shows a run that is not started by {@link #fineTune}.
     *
     * <pre>{@code
     * TrainListener view = trainingView("my training");
     * }</pre>
     */
    public static TrainListener trainingView(String label) {
        return new TrainingView(Screen.current(), label, BACKEND.ops(), System::nanoTime);
    }

    /**
     * Shows the runs of an experiment.
     *
     * <pre>{@code
     * ExperimentListener view = experimentView();
     * }</pre>
     */
    public static ExperimentListener experimentView() {
        return (number, count, entry) -> trainingView(entry.dataSet() + " -> " + entry.lora().targetModules().text() + " (" + number + " of " + count + ")");
    }

    /**
     * Trains the cells that the folder of {@code grid} does not hold yet, with one bar for all of them. A cell that is stopped can be run again: it goes on.
     *
     * <pre>{@code
     * TargetGrid grid = new TargetGrid(model.model(), model.rows(), sets, lora, config, freshFolder("my-grid"));
     * GridResult found = runGrid(grid, grid.cells(List.of(TargetModules.names("q_proj"), new TargetModules.AllLinear()), 1e-3, 5e-3));
     * }</pre>
     * @param cells at least one
     * @throws IOException as {@link TargetGrid#run}
     */
    public static GridResult runGrid(TargetGrid grid, List<GridCell> cells) throws IOException {
        BACKEND.use().require("runGrid");
        try (Progress bar = progress("grid", cells.size())) {
            return grid.run(cells, (number, count, cell) -> {
                bar.note(cell.toString());
                return event -> {
                    switch (event) {
                        case TrainEvent.Noticed noticed -> show(noticed.notice());
                        case TrainEvent.Ended ended when !ended.interrupted() -> bar.step();
                        default -> { }
                    }
                };
            });
        }
    }
}
