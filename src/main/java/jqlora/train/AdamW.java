package jqlora.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jqlora.format.SafetensorsFile;
import jqlora.format.SafetensorsWriter;
import jqlora.format.TensorSource;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** The optimizer of a run: moments of every trained parameter, in two groups, with and without weight decay. */
final class AdamW implements AutoCloseable {
    private static final String FIRST = "exp_avg.", SECOND = "exp_avg_sq.";

    private final Ops ops;
    private final OptimizerConfig config;
    private final boolean paged;
    private final List<AdamWState> decayed = new ArrayList<>();
    private final List<AdamWState> others = new ArrayList<>();

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
        for (Parameter parameter : parameters) {
            long[] dims = parameter.value().shape().toArray();
            AdamWState state = new AdamWState(parameter, ops.zeros(DType.F32, dims), ops.zeros(DType.F32, dims));
            (isDecayed(parameter.name()) ? decayed : others).add(state);
            leave(state);
        }
    }

    /** transformers' rule: neither biases nor norms. */
    private static boolean isDecayed(String name) {
        return !name.endsWith(".bias") && !name.contains("norm");
    }

    /** One step from the gradients there are; they are zero afterwards.
     * @param norm F64 [1], the gradients' norm */
    void step(int step, double learningRate, Tensor norm) {
        update(decayed, step, learningRate, config.weightDecay(), norm);
        update(others, step, learningRate, 0, norm);
        ops.zeroGradients(all().stream().map(AdamWState::parameter).toList());
    }

    private void update(List<AdamWState> states, int step, double learningRate, double decay, Tensor norm) {
        if (!states.isEmpty()) {
            ops.adamW(states, new AdamWStep(step, learningRate, config.beta1(), config.beta2(), config.eps(), decay, config.maxGradNorm()), norm);
        }
    }

    private List<AdamWState> all() {
        List<AdamWState> all = new ArrayList<>(decayed);
        all.addAll(others);
        return all;
    }

    private void leave(AdamWState state) {
        if (paged) {
            ops.offload(List.of(state.firstMoment(), state.secondMoment()));
        }
    }

    private void comeBack(AdamWState state) {
        if (paged) {
            ops.fetch(List.of(state.firstMoment(), state.secondMoment()));
        }
    }

    void save(Path file) throws IOException {
        List<TensorSource> tensors = new ArrayList<>();
        for (AdamWState state : all()) {
            comeBack(state);
            tensors.add(TensorSource.of(FIRST + state.parameter().name(), ops.download(state.firstMoment())));
            tensors.add(TensorSource.of(SECOND + state.parameter().name(), ops.download(state.secondMoment())));
            leave(state);
        }
        SafetensorsWriter.write(file, tensors, SafetensorsWriter.PT);
    }

    void restore(Path path) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            for (AdamWState state : all()) {
                comeBack(state);
                TrainedWeights.copy(ops, file, FIRST + state.parameter().name(), state.firstMoment());
                TrainedWeights.copy(ops, file, SECOND + state.parameter().name(), state.secondMoment());
                leave(state);
            }
        }
    }

    @Override
    public void close() {
        all().forEach(AdamWState::close);
    }
}
