package jqlora.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.format.SafetensorsFile;
import jqlora.format.SafetensorsWriter;
import jqlora.format.TensorSource;
import jqlora.ops.AdamW8bitState;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** The optimizer of a run: moments of every trained parameter, in two groups, with and without weight decay. */
final class AdamW implements AutoCloseable {
    private static final String FIRST = "exp_avg.", SECOND = "exp_avg_sq.", FIRST_ABSMAX = "exp_avg_absmax.", SECOND_ABSMAX = "exp_avg_sq_absmax.";

    /** The states of parameters with the same decay. */
    private record Group(double weightDecay, List<AdamWState> states, List<AdamW8bitState> states8bit) {
        Group(double weightDecay) {
            this(weightDecay, new ArrayList<>(), new ArrayList<>());
        }
    }

    private final Ops ops;
    private final OptimizerConfig config;
    private final List<Group> groups;

    AdamW(Ops ops, List<Parameter> parameters, OptimizerConfig config) {
        this.ops = ops;
        this.config = config;
        Group decayed = new Group(config.weightDecay()), others = new Group(0);
        this.groups = List.of(decayed, others);
        for (Parameter parameter : parameters) {
            Group group = isDecayed(parameter.name()) ? decayed : others;
            long[] dims = parameter.value().shape().toArray();
            if (config.optim().isIn8Bits(parameter.name(), parameter.value().shape().size())) {
                group.states8bit.add(AdamW8bitState.create(ops, parameter));
            } else {
                group.states.add(new AdamWState(parameter, ops.zeros(DType.F32, dims), ops.zeros(DType.F32, dims)));
            }
        }
    }

    /** transformers' rule: neither biases nor norms. */
    private static boolean isDecayed(String name) {
        return !name.endsWith(".bias") && !name.contains("norm");
    }

    /** One step from the gradients there are; they are zero afterwards.
     * @param norm F64 [1], the gradients' norm */
    void step(int step, double learningRate, Tensor norm) {
        List<Parameter> parameters = new ArrayList<>();
        for (Group group : groups) {
            AdamWStep numbers = new AdamWStep(step, learningRate, config.beta1(), config.beta2(), config.eps(), group.weightDecay, config.maxGradNorm());
            if (!group.states.isEmpty()) {
                ops.adamW(group.states, numbers, norm);
            }
            if (!group.states8bit.isEmpty()) {
                ops.adamW8bit(group.states8bit, numbers, norm);
            }
            group.states.forEach(state -> parameters.add(state.parameter()));
            group.states8bit.forEach(state -> parameters.add(state.parameter()));
        }
        ops.zeroGradients(parameters);
    }

    /** All moments and what they consist of, by the names that they have in a file. */
    private Map<String, Tensor> tensors() {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (Group group : groups) {
            for (AdamWState state : group.states) {
                tensors.put(FIRST + state.parameter().name(), state.firstMoment());
                tensors.put(SECOND + state.parameter().name(), state.secondMoment());
            }
            for (AdamW8bitState state : group.states8bit) {
                tensors.put(FIRST + state.parameter().name(), state.firstMoment().codes());
                tensors.put(FIRST_ABSMAX + state.parameter().name(), state.firstMoment().absmax());
                tensors.put(SECOND + state.parameter().name(), state.secondMoment().codes());
                tensors.put(SECOND_ABSMAX + state.parameter().name(), state.secondMoment().absmax());
            }
        }
        return tensors;
    }

    void save(Path file) throws IOException {
        List<TensorSource> sources = new ArrayList<>();
        tensors().forEach((name, tensor) -> sources.add(TrainedWeights.source(ops, name, tensor)));
        SafetensorsWriter.write(file, sources, SafetensorsWriter.PT);
    }

    void restore(Path path) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            for (Map.Entry<String, Tensor> entry : tensors().entrySet()) {
                TrainedWeights.copy(ops, file, entry.getKey(), entry.getValue());
            }
        }
    }

    @Override
    public void close() {
        for (Group group : groups) {
            group.states.forEach(AdamWState::close);
            group.states8bit.forEach(AdamW8bitState::close);
        }
    }
}
