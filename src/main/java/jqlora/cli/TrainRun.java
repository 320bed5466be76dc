package jqlora.cli;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import jqlora.data.InstructionRow;
import jqlora.data.InstructionSet;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TextTokenizer;
import jqlora.data.TokenizedRow;
import jqlora.data.TokenizedSet;
import jqlora.format.FolderUse;
import jqlora.format.HfConfig;
import jqlora.format.HubAccess;
import jqlora.format.PeftAdapterFiles;
import jqlora.generate.Assistant;
import jqlora.lora.LoraAdapter;
import jqlora.lora.TargetTable;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.MemoryPlanner;
import jqlora.model.ModelLoader;
import jqlora.notebook.Home;
import jqlora.notebook.NamedModel;
import jqlora.notebook.Screen;
import jqlora.ops.Ops;
import jqlora.train.CheckpointFolder;
import jqlora.train.HeldOutLoss;
import jqlora.train.SftConfig;
import jqlora.train.SftTrainer;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;
import jqlora.train.TrainedWeights;

/** One call of {@code train}: what can be refused is refused before a model is loaded. */
final class TrainRun {
    private static final int ANSWERS = 2, INTERRUPTED = 130;

    private final TrainSettings settings;
    private final Map<String, Object> values;
    private final String notice;
    private final StatusLine out;
    private final Path output;

    /**
     * @param values of the options, to be kept with the run
     * @param notice of what was not given; said before the long work, empty for none
     */
    TrainRun(TrainSettings settings, Map<String, Object> values, String notice, StatusLine out) {
        this.settings = settings;
        this.values = values;
        this.notice = notice;
        this.out = out;
        this.output = settings.run().output();
    }

    /** The status to exit with. */
    int run() throws IOException {
        requireOutput();
        Path home = home();
        InstructionSet set = TrainingData.read(settings.data(), home.resolve("datasets"), settings.run().evaluate());
        if (!settings.run().train() && set.test().isEmpty()) {
            throw new IOException("--dataset is \"" + settings.data().dataset() + "\", of which no row is held out, so there is nothing"
                    + " to evaluate; --eval_dataset_size says how many are");
        }
        Path folder = NamedModel.folder(settings.model(), home.resolve(Home.EMBEDDED),
                () -> HubAccess.standard(System.getenv(), Path.of(System.getProperty("user.home"))), Screen.current(), out::say);
        HfConfig config = HfConfig.read(folder);
        if (!notice.isEmpty()) {
            out.say(notice);
        }
        try (Ops ops = settings.machine().open(out::say); TextTokenizer tokenizer = TextTokenizer.open(folder)) {
            requireTargets(config, ops);
            tokenizer.notices().forEach(out::say);
            SupervisedTokenizer rows = settings.data().tokenizer(tokenizer);
            List<TokenizedRow> train = settings.run().train() ? tokens(rows, "training rows", set.train()) : List.of();
            List<TokenizedRow> heldOut = tokens(rows, "held-out rows", set.test());
            try (CausalLm model = load(folder, ops)) {
                Assistant assistant = Assistant.of(model, rows).withConfig(settings.generation());
                return settings.run().train() ? train(model, train, heldOut, set, assistant) : evaluate(model, heldOut, set, assistant);
            }
        }
    }

    private static Path home() throws IOException {
        try {
            return Home.folder();
        } catch (IllegalStateException unknown) {
            throw new IOException(unknown.getMessage(), unknown);
        }
    }

    /** A folder that can be written, and whose adapter, if it holds one, is that of the run that goes on. */
    private void requireOutput() throws IOException {
        if (!settings.run().train()) {
            if (Files.exists(output) && !Files.isDirectory(output)) {
                throw new IOException("--output_dir is " + output + ", which is a file, it must be a folder");
            }
            return;
        }
        FolderUse.requireForAdapter(output);
        boolean foreign = Files.exists(output.resolve(PeftAdapterFiles.CONFIG)) && new CheckpointFolder(output).all().isEmpty();
        if (foreign && !settings.run().overwrite()) {
            throw new IOException("--output_dir is " + output
                    + ", which holds an adapter and no checkpoint of the run that made it; give another folder,"
                    + " or --overwrite_output_dir, which removes that adapter");
        }
    }

    /** Layers that get an adapter, found in a model without numbers: a name that matches none is told before the weights are read. */
    private void requireTargets(HfConfig config, Ops ops) throws IOException {
        try (CausalLm planned = MemoryPlanner.plannedModel(config, settings.load(), ops)) {
            Refused.orTaken("--lora_modules", settings.lora().targetModules().text(), names -> TargetTable.of(planned, settings.lora()));
        }
    }

    private List<TokenizedRow> tokens(SupervisedTokenizer tokenizer, String part, List<InstructionRow> rows) {
        TokenizedSet tokens = tokenizer.tokenize(rows);
        tokens.notices().forEach(notice -> out.say(part + ": " + notice));
        return tokens.rows();
    }

    private CausalLm load(Path folder, Ops ops) throws IOException {
        LoadListener listener = loaded -> out.show("loading: " + loaded);
        CausalLm model = ModelLoader.load(folder, settings.load(), ops, listener);
        model.loadReport().toString().lines().forEach(out::say);
        out.say(model.name().title() + ": " + model);
        return model;
    }

    // ---- training

    private int train(CausalLm model, List<TokenizedRow> rows, List<TokenizedRow> heldOut, InstructionSet set,
            Assistant assistant) throws IOException {
        int labelled = (int) rows.stream().filter(row -> row.labelledTokens() > 0).count();
        SftConfig sft = settings.sftOf(labelled);
        try (LoraAdapter adapter = LoraAdapter.create(model, settings.lora(), sft.seed())) {
            TrainedWeights weights = new TrainedWeights.OfAdapter(adapter, model.name().text());
            SftTrainer trainer = new SftTrainer(weights, rows, heldOut, sft, output);
            if (settings.run().overwrite()) {
                removeRun(weights);
            }
            TrainReport report = new TrainReport(out, settings.run().loggingSteps());
            try (StopSignal stop = new StopSignal(report::stopping)) {
                TrainResult result = trainer.train(report.and(keepsConfig()));
                Thread.interrupted();                             // heard: what follows is to be written whole
                if (result.interrupted()) {
                    sayInterrupted(result);
                    return INTERRUPTED;
                }
                new TrainResults(output).write(result, sft, labelled, heldOut.size());
                sayEnd(result, report.wasDone());
            }
            sayAnswers(assistant, set);
            return 0;
        } catch (UncheckedIOException unwritten) {
            throw unwritten.getCause();
        }
    }

    private void removeRun(TrainedWeights weights) throws IOException {
        List<String> files = new ArrayList<>(weights.resultFiles());
        files.addAll(List.of(TrainResults.CONFIG, TrainResults.TRAIN, TrainResults.EVALUATION));
        new CheckpointFolder(output).removeRun(files);
    }

    /** Keeps the options with the run as soon as the trainer has taken it for this one. */
    private TrainListener keepsConfig() {
        return event -> {
            if (event instanceof TrainEvent.Started) {
                try {
                    Files.createDirectories(output);
                    new TrainResults(output).writeConfig(values);
                } catch (IOException failed) {
                    throw new UncheckedIOException(failed);
                }
            }
        };
    }

    private void sayInterrupted(TrainResult result) {
        String again = settings.run().overwrite() ? "the same command without --overwrite_output_dir" : "the same command";
        out.say(result.steps().isEmpty() ? "stopped before the first step; " + again + " begins it"
                : "stopped after step " + result.steps().size() + ", which is saved in " + output + "; " + again + " goes on there");
    }

    private void sayEnd(TrainResult result, boolean wasDone) {
        if (wasDone) {
            out.say("this run is finished already; --overwrite_output_dir begins it again, another --output_dir makes another one");
        }
        out.say(String.format(Locale.ROOT, "%s in %.0f s", result, result.seconds()));
        if (!result.evaluations().isEmpty()) {
            out.say(String.format(Locale.ROOT, "held-out loss %.4f before, %.4f after", result.evaluations().getFirst().loss(),
                    result.evaluations().getLast().loss()));
        }
        out.say("the adapter is in " + output);
    }

    // ---- without training

    private int evaluate(CausalLm model, List<TokenizedRow> heldOut, InstructionSet set, Assistant assistant) throws IOException {
        boolean trained = Files.isRegularFile(output.resolve(PeftAdapterFiles.CONFIG));
        try (LoraAdapter adapter = trained ? LoraAdapter.load(model, output, false) : null) {
            HeldOutLoss loss = HeldOutLoss.of(model, heldOut);
            out.say(String.format(Locale.ROOT, "held-out loss %.4f (perplexity %.2f), %s", loss.loss(), loss.perplexity(),
                    trained ? "with the adapter in " + output : "without an adapter, since " + output + " holds none"));
            Files.createDirectories(output);
            new TrainResults(output).write(loss, heldOut.size());
            sayAnswers(assistant, set);
            return 0;
        }
    }

    private void sayAnswers(Assistant assistant, InstructionSet set) {
        List<InstructionRow> asked = set.test().isEmpty() ? set.train() : set.test();
        for (InstructionRow row : asked.subList(0, Math.min(ANSWERS, asked.size()))) {
            out.say("");
            out.say("asked:  " + (row.input().isEmpty() ? row.instruction() : row.instruction() + "\n        " + row.input()).strip());
            out.say("wanted: " + row.output());
            out.say("answer: " + assistant.answer(row));
        }
    }
}
