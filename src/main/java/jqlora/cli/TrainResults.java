package jqlora.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.format.PendingFile;
import jqlora.format.PythonJson;
import jqlora.train.HeldOutLoss;
import jqlora.train.SftConfig;
import jqlora.train.TrainEvent;
import jqlora.train.TrainResult;

/**
 * The files beside an adapter that say how it was made, under the names of transformers' trainer; written whole or not at all.
 *
 * @param output folder of the run, which is there
 */
record TrainResults(Path output) {
    static final String CONFIG = "train_config.json", TRAIN = "train_results.json", EVALUATION = "eval_results.json";

    /** What the run was told, as a file for {@code --config}. */
    void writeConfig(Map<String, Object> values) throws IOException {
        write(CONFIG, values);
    }

    /**
     * What came of the whole run, over all the times that it was stopped; and of the held-out rows, if there are any.
     *
     * @param rows that were trained on
     * @param heldOut their number
     */
    void write(TrainResult result, SftConfig config, int rows, int heldOut) throws IOException {
        Map<String, Object> values = new LinkedHashMap<>();
        double epoch = result.steps().getLast().epoch(), seconds = result.seconds();
        values.put("epoch", epoch);
        values.put("num_input_tokens_seen", result.steps().stream().mapToLong(TrainEvent.StepEnd::tokens).sum());
        values.put("train_loss", result.steps().stream().mapToDouble(TrainEvent.StepEnd::loss).average().orElseThrow());
        values.put("train_runtime", seconds);
        values.put("train_samples", rows);
        values.put("train_samples_per_second", samples(result.steps().size(), config, rows) / seconds);
        values.put("train_steps_per_second", result.steps().size() / seconds);
        write(TRAIN, values);
        List<TrainEvent.Evaluated> evaluations = result.evaluations();
        if (!evaluations.isEmpty()) {
            values = evaluation(evaluations.getLast().loss(), heldOut);
            values.put("epoch", epoch);
            values.put("eval_loss_before_training", evaluations.getFirst().loss());
            write(EVALUATION, values);
        }
    }

    /** The loss of a model that was not trained now. */
    void write(HeldOutLoss loss, int heldOut) throws IOException {
        write(EVALUATION, evaluation(loss.loss(), heldOut));
    }

    private static Map<String, Object> evaluation(double loss, int rows) {
        Map<String, Object> values = new LinkedHashMap<>();
        values.put("eval_loss", loss);
        values.put("eval_samples", rows);
        values.put("perplexity", Math.exp(loss));
        return values;
    }

    /** Rows that went through the model: the last step of an epoch may have fewer. */
    private static long samples(int steps, SftConfig config, int rows) {
        long perStep = (long) config.batches().perDeviceTrainBatchSize() * config.batches().gradientAccumulationSteps();
        long stepsPerEpoch = Math.ceilDiv(rows, perStep);
        return steps / stepsPerEpoch * rows + Math.min(rows, steps % stepsPerEpoch * perStep);
    }

    private void write(String name, Map<String, Object> values) throws IOException {
        PendingFile.replace(output.resolve(name), PythonJson.config().dumps(values) + "\n");
    }
}
