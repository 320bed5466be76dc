package jqlora.experiment;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import jqlora.data.InstructionRow;
import jqlora.data.InstructionSet;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TokenizedRow;
import jqlora.data.TokenizedSet;
import jqlora.format.JsonView;
import jqlora.format.PendingFile;
import jqlora.format.PythonJson;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.TargetModules;
import jqlora.lora.TargetTable;
import jqlora.model.CausalLm;
import jqlora.model.MemoryReport;
import jqlora.train.HeldOutLoss;
import jqlora.train.SftConfig;
import jqlora.train.SftTrainer;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;
import jqlora.train.TrainedWeights;
import jqlora.train.TrainingException;

/**
 * Trains adapters on one base that differ in their data, their modules, their learning rate or their seed, and in nothing else: {@link GridResult} compares them.
 *
 * <p>Each cell is kept in a folder of its own, adapter and losses. A grid that was stopped goes on there, and one that is made larger trains only what is new.
 * <p>The held-out rows of a set are parted: the 1st, 3rd, 5th ... choose the learning rate, the others are reported. Rows that choose a rate flatter it.
 *
 * @param model the base, quantized once; no adapter in force
 * @param sets data sets by their names, each with two held-out rows at least
 * @param lora of every adapter, but for the modules
 * @param config of every training, but for learning rate and seed
 * @param output folder of the grid
 */
public record TargetGrid(CausalLm model, SupervisedTokenizer tokenizer, List<InstructionSet> sets, LoraConfig lora, SftConfig config, Path output) {
    public TargetGrid {
        sets = List.copyOf(sets);
    }

    private static final String LOSSES = "losses.json", CHOOSING = "choosing", REPORTED = "reported", MEASURED = "measured";

    private record Rows(TokenizedSet train, List<TokenizedRow> choosing, List<TokenizedRow> reported) {
        GridResult.Losses losses(CausalLm model) {
            return new GridResult.Losses(HeldOutLoss.of(model, choosing).loss(), HeldOutLoss.of(model, reported).loss());
        }
    }

    /** The losses of a trained cell, from its folder where they are of these weights and these rows. */
    private GridResult.Losses losses(Path folder, TrainedWeights weights, Rows rows) throws IOException {
        Path file = folder.resolve(LOSSES);
        String measured = String.join(", ", weights.fingerprint(), weights.base(), model.ops().arithmetic(), Integer.toHexString(rows.choosing.hashCode()), Integer.toHexString(rows.reported.hashCode()));
        if (Files.exists(file)) {
            JsonView kept = JsonView.read(file);
            if (kept.text(MEASURED, "").equals(measured)) {
                return new GridResult.Losses(kept.number(CHOOSING), kept.number(REPORTED));
            }
        }
        GridResult.Losses losses = rows.losses(model);
        Map<String, Object> kept = new LinkedHashMap<>();
        kept.put(CHOOSING, losses.choosing());
        kept.put(REPORTED, losses.reported());
        kept.put(MEASURED, measured);
        if (Double.isFinite(losses.choosing() + losses.reported())) {
            PendingFile.replace(file, PythonJson.config().dumps(kept) + "\n");
        }
        return losses;
    }

    /** Every data set with every choice of modules at every rate, all from the seed of the configuration. */
    public List<GridCell> cells(List<TargetModules> targets, double... learningRates) {
        List<GridCell> cells = new ArrayList<>();
        for (InstructionSet set : sets) {
            for (TargetModules each : targets) {
                for (double rate : learningRates) {
                    cells.add(new GridCell(set.name(), each, rate, config.seed()));
                }
            }
        }
        return cells;
    }

    /**
     * Trains and measures the cells that are not in the folder yet, and reads the others. A training whose loss is no longer finite counts as infinite.
     *
     * @throws IllegalArgumentException before anything is trained, if a data set is missing or has too few held-out rows, or a target matches no module
     * @throws InterruptedIOException if the thread is interrupted; what is trained by then is in the folder, and the same grid goes on from there
     * @throws IOException if a file cannot be written, or the folder holds a cell of another grid
     */
    public GridResult run(List<GridCell> cells, GridListener listener) throws IOException {
        Map<String, Rows> rows = new LinkedHashMap<>();
        for (GridCell cell : cells) {
            TargetTable.of(model, lora.withTargetModules(cell.targets()));
            if (!rows.containsKey(cell.dataSet())) {
                rows.put(cell.dataSet(), rows(cell.dataSet()));
            }
        }
        Map<String, GridResult.Losses> base = new LinkedHashMap<>();
        rows.forEach((name, data) -> base.put(name, data.losses(model)));
        List<GridResult.Run> runs = new ArrayList<>();
        for (GridCell cell : cells) {
            boolean first = runs.stream().noneMatch(run -> run.cell().dataSet().equals(cell.dataSet()));
            TrainListener heard = listener.training(runs.size() + 1, cells.size(), cell);
            Rows data = rows.get(cell.dataSet());
            if (first) {
                data.train.notices().forEach(notice -> heard.on(new TrainEvent.Noticed(cell.dataSet() + ": " + notice)));
            }
            runs.add(run(cell, data, heard));
        }
        return new GridResult(MemoryReport.of(model).total().parameters(), base, runs);
    }

    private Rows rows(String name) {
        InstructionSet set = sets.stream().filter(candidate -> candidate.name().equals(name)).findFirst().orElseThrow(() -> new IllegalArgumentException(
                "grid: a cell has data set \"" + name + "\", given are " + String.join(", ", sets.stream().map(InstructionSet::name).toList())));
        if (set.test().size() < 2) {
            throw new IllegalArgumentException("grid: " + name + " has " + set.test().size() + " held-out rows, there must be at least 2: one half chooses the rate, the other is reported");
        }
        return new Rows(tokenizer.tokenize(set.train()), tokenizer.tokenize(half(set.test(), 0)).rows(), tokenizer.tokenize(half(set.test(), 1)).rows());
    }

    private static List<InstructionRow> half(List<InstructionRow> rows, int first) {
        return IntStream.range(0, rows.size()).filter(i -> i % 2 == first).mapToObj(rows::get).toList();
    }

    private GridResult.Run run(GridCell cell, Rows rows, TrainListener listener) throws IOException {
        try (LoraAdapter adapter = LoraAdapter.create(model, lora.withTargetModules(cell.targets()), cell.seed())) {
            TrainedWeights weights = new TrainedWeights.OfAdapter(adapter, model.name() == null ? null : model.name().text());
            SftTrainer trainer = new SftTrainer(weights, rows.train.rows(), List.of(), config.withLearningRate(cell.learningRate()).withSeed(cell.seed()), cell.folder(output));
            int[] steps = {0};
            TrainResult training;
            try {
                training = trainer.train(listener.and(event -> steps[0] += event instanceof TrainEvent.StepEnd ? 1 : 0));
            } catch (TrainingException failed) {
                if (steps[0] == 0) {
                    throw failed;                                 // it never learned, which is no matter of the rate
                }
                return new GridResult.Run(cell, adapter.parameterCount(), new GridResult.Losses(Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY), new TrainResult(List.of(), List.of(), false));
            }
            if (training.interrupted()) {
                throw new InterruptedIOException("grid: stopped in " + cell + " after step " + training.steps().size() + "; run it again with the same output folder, " + output
                        + ", to go on from there");
            }
            return new GridResult.Run(cell, adapter.parameterCount(), losses(cell.folder(output), weights, rows), training);
        }
    }

    /** Such as {@code 3 data sets, r 8, alpha 16.0 in target-grid}. */
    @Override
    public String toString() {
        return sets.size() + (sets.size() == 1 ? " data set, " : " data sets, ") + "r " + lora.r() + ", alpha " + lora.loraAlpha() + " in " + output;
    }
}
