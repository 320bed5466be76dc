package jqlora.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
    private final boolean paged;
    private final Set<Tensor> away = Collections.newSetFromMap(new IdentityHashMap<>());

    AdamW(Ops ops, List<Parameter> parameters, OptimizerConfig config) {
        this(ops, parameters, config, false);
    }

    /** One whose moments lie in the host's memory between steps, and pass through the device's in a step. */
    static AdamW paged(Ops ops, List<Parameter> parameters, OptimizerConfig config) {
        return new AdamW(ops, parameters, config, true);
    }

    private AdamW(Ops ops, List<Parameter> parameters, OptimizerConfig config, boolean paged) {
        this.ops = ops;
        this.config = config;
        this.paged = paged;
        Group decayed = new Group(config.weightDecay()), others = new Group(0);
        this.groups = List.of(decayed, others);
        for (Parameter parameter : parameters) {
            Group group = isDecayed(parameter.name()) ? decayed : others;
            long[] dims = parameter.value().shape().toArray();
            if (config.optim().isIn8Bits(parameter.name(), parameter.value().shape().size())) {
                AdamW8bitState state = AdamW8bitState.create(ops, parameter);
                group.states8bit.add(state);
                page(state.tensors());
            } else {
                AdamWState state = new AdamWState(parameter, ops.zeros(DType.F32, dims), ops.zeros(DType.F32, dims));
                group.states.add(state);
                page(state.tensors());
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

    private void page(List<Tensor> moments) {
        if (paged) {
            ops.offload(moments);
            away.addAll(moments);
        }
    }

    /** What is done with a tensor's elements. */
    private interface Copy {
        void run() throws IOException;
    }

    private void here(Tensor tensor, Copy copy) throws IOException {
        boolean comes = away.contains(tensor);
        if (comes) {
            ops.fetch(List.of(tensor));
        }
        copy.run();
        if (comes) {
            ops.offload(List.of(tensor));
        }
    }

    void save(Path file) throws IOException {
        List<TensorSource> sources = new ArrayList<>();
        tensors().forEach((name, tensor) -> sources.add(new TensorSource(name, tensor.dtype(), tensor.shape(), sink -> here(tensor, () -> ops.download(tensor, sink)))));
        SafetensorsWriter.write(file, sources, SafetensorsWriter.PT);
    }

    void restore(Path path) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            for (Map.Entry<String, Tensor> entry : tensors().entrySet()) {
                here(entry.getValue(), () -> TrainedWeights.copy(ops, file, entry.getKey(), entry.getValue()));
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
