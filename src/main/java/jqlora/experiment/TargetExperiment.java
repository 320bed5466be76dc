package jqlora.experiment;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jqlora.data.InstructionSet;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TokenizedRow;
import jqlora.data.TokenizedSet;
import jqlora.format.Checkpoint;
import jqlora.lora.LoraAdapter;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.lora.TargetTable;
import jqlora.model.CausalLm;
import jqlora.train.HeldOutLoss;
import jqlora.train.SftConfig;
import jqlora.train.SftTrainer;
import jqlora.train.TrainEvent;
import jqlora.train.TrainListener;
import jqlora.train.TrainResult;
import jqlora.train.TrainedWeights;

/**
 * Trains an adapter for each data set of a plan on one base, and measures every adapter on every data set. All adapters start from the same seed.
 *
 * @param model the base, quantized once; no adapter in force
 * @param modelFolder where it was loaded from: merges go from its original weights
 * @param output each adapter is saved in a folder of its own under it, {@code output/DATA_SET}; a run that was stopped goes on there
 */
public record TargetExperiment(CausalLm model, Path modelFolder, SupervisedTokenizer tokenizer, SftConfig config, Path output) {

    /** @param notices what of the data is not trained on */
    private record Prepared(TargetPlan.Entry entry, List<TokenizedRow> train, List<TokenizedRow> test, List<String> notices) { }

    /**
     * Runs {@code plan} on {@code sets}.
     *
     * @param sets every data set of the plan
     * @throws IllegalArgumentException before anything is trained, if a data set is missing or a target matches no module
     * @throws InterruptedIOException if the thread is interrupted; what is trained by then is in {@code output}, and the same run goes on from there
     * @throws IOException if a file cannot be written
     */
    public ExperimentResult run(TargetPlan plan, List<InstructionSet> sets, ExperimentListener listener) throws IOException {
        List<Prepared> prepared = new ArrayList<>();
        for (TargetPlan.Entry entry : plan.entries()) {
            InstructionSet set = sets.stream().filter(candidate -> candidate.name().equals(entry.dataSet())).findFirst().orElseThrow(() -> new IllegalArgumentException(
                    "experiment: the plan has data set \"" + entry.dataSet() + "\", given are " + String.join(", ", sets.stream().map(InstructionSet::name).toList())));
            TargetTable.of(model, entry.lora());
            TokenizedSet train = tokenizer.tokenize(set.train()), test = tokenizer.tokenize(set.test());
            prepared.add(new Prepared(entry, train.rows(), test.rows(), train.notices()));
        }
        List<Double> baseLoss = prepared.stream().map(data -> HeldOutLoss.of(model, data.test).loss()).toList();
        List<ExperimentResult.Run> runs = new ArrayList<>();
        List<List<Double>> crossLoss = new ArrayList<>();
        try (Checkpoint original = Checkpoint.open(modelFolder)) {
            for (Prepared data : prepared) {
                try (LoraAdapter adapter = LoraAdapter.create(model, data.entry.lora(), config.seed())) {
                    SftTrainer trainer = new SftTrainer(new TrainedWeights.OfAdapter(adapter, modelFolder.toString()), data.train, data.test, config,
                            output.resolve(data.entry.dataSet()));
                    TrainListener heard = listener.training(runs.size() + 1, prepared.size(), data.entry);
                    data.notices.forEach(notice -> heard.on(new TrainEvent.Noticed(notice)));
                    TrainResult training = trainer.train(heard);
                    if (training.interrupted()) {
                        throw new InterruptedIOException("experiment: stopped in the training on \"" + data.entry.dataSet() + "\" after step " + training.steps().size()
                                + "; run it again with the same output folder, " + output + ", to go on from there");
                    }
                    crossLoss.add(prepared.stream().map(other -> HeldOutLoss.of(model, other.test).loss()).toList());
                    runs.add(merged(data, adapter, training, Merger.withOriginal(original)));
                }
            }
        }
        return new ExperimentResult(runs, baseLoss, crossLoss);
    }

    private static ExperimentResult.Run merged(Prepared data, LoraAdapter adapter, TrainResult training, Merger merger) throws IOException {
        MergeRoute route = merger.defaultRoute(adapter);
        try (Merger.Merged merged = merger.merge(adapter)) {
            double loss;
            try {
                loss = HeldOutLoss.of(adapter.model(), data.test).loss();
            } finally {
                merged.unmerge();
            }
            return new ExperimentResult.Run(data.entry.dataSet(), data.entry.lora().targetModules().text(), adapter.parameterCount(), training, loss, route);
        }
    }
}
