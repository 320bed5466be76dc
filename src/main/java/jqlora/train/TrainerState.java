package jqlora.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;
import jqlora.format.PendingFile;
import jqlora.format.PythonJson;

/**
 * What a run needs besides weights and moments to go on: how far it is, what it has reported, and which run it is. Row order and dropout are functions
 * of the seed and of how far it is, so there is no generator whose state would have to be kept.
 *
 * @param step steps done
 * @param run what tells this run from another, by name: the values of its {@link RunIdentity}
 * @param weights fingerprint of the trained weights in the same checkpoint; empty if it was written without one
 */
record TrainerState(int step, Map<String, String> run, String weights, List<TrainEvent.StepEnd> steps,
        List<TrainEvent.Evaluated> evaluations) {
    private static final String FILE = "trainer_state.json";

    TrainerState {
        run = new LinkedHashMap<>(run);
        steps = List.copyOf(steps);
        evaluations = List.copyOf(evaluations);
    }

    void write(Path folder) throws IOException {
        List<Map<String, Object>> log = new ArrayList<>();
        for (TrainEvent.StepEnd step : steps) {
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("step", step.step());
            entry.put("epoch", step.epoch());
            entry.put("loss", step.loss());
            entry.put("grad_norm", step.gradNorm());
            entry.put("learning_rate", step.learningRate());
            entry.put("tokens", step.tokens());
            entry.put("seconds", step.seconds());
            entry.put("peak_bytes", step.peakBytes());
            log.add(entry);
        }
        List<Map<String, Object>> evaluated = new ArrayList<>();
        for (TrainEvent.Evaluated evaluation : evaluations) {
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("step", evaluation.step());
            entry.put("eval_loss", evaluation.loss());
            evaluated.add(entry);
        }
        Map<String, Object> state = new LinkedHashMap<>();
        state.put("global_step", step);
        state.put("run", run);
        state.put("weights", weights);
        state.put("log_history", log);
        state.put("evaluations", evaluated);
        PendingFile.replace(folder.resolve(FILE), PythonJson.config().dumps(state) + "\n");
    }

    /** @throws JsonFileException if the file is missing, a value is not as it must be, or the history is not that of the steps done */
    static TrainerState read(Path folder) throws IOException {
        JsonView state = JsonView.read(folder.resolve(FILE));
        int step = state.positive("global_step");
        List<TrainEvent.StepEnd> steps = new ArrayList<>();
        for (JsonView entry : state.objects("log_history")) {
            steps.add(new TrainEvent.StepEnd(entry.positive("step"), entry.number("epoch"), entry.number("loss"), entry.number("grad_norm"),
                    entry.number("learning_rate"), entry.whole("tokens"), entry.number("seconds"), entry.whole("peak_bytes")));
        }
        if (steps.size() != step) {
            throw state.fault("global_step", "the number of steps in log_history, " + steps.size());
        }
        List<TrainEvent.Evaluated> evaluations = new ArrayList<>();
        for (JsonView entry : state.objects("evaluations")) {
            long at = entry.whole("step");
            if (at < 0 || at > step) {
                throw entry.fault("step", "from 0 to global_step, " + step);
            }
            evaluations.add(new TrainEvent.Evaluated((int) at, entry.number("eval_loss")));
        }
        return new TrainerState(step, state.object("run").toTexts(), state.text("weights", ""), steps, evaluations);
    }
}
