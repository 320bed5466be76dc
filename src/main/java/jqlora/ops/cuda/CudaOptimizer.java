package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.AdamW8bitNumbers;
import jqlora.ops.AdamW8bitState;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.Parameter;
import jqlora.quant.DynamicMap;
import jqlora.tensor.Tensor;

/** Norm, AdamW with moments in 32 or 8 bits, here or in the host's memory, and zeroing over all trained tensors in one launch each. */
final class CudaOptimizer implements AutoCloseable {
    private static final String SOURCE = "optimizer";
    private static final int THREADS = 256;

    /** Updates {@code parts} parts, whose table lies at {@code address}. */
    interface Update {
        void launch(long address, int parts);
    }

    private final CudaStage stage;
    private final DeviceMemory memory;
    private final PartTables tables;
    private final PagedMoments paged;
    private final long maps;

    CudaOptimizer(CudaStage stage, CudaDevice device, DeviceMemory memory, Transfers transfers, HostTensors host) {
        this.stage = stage;
        this.memory = memory;
        this.tables = new PartTables(memory, transfers);
        this.paged = new PagedMoments(device, memory, tables, host);
        float[] signed = DynamicMap.signed().values(), unsigned = DynamicMap.unsigned().values();
        maps = memory.take(4L * (signed.length + unsigned.length));
        transfers.upload(signed, maps);
        transfers.upload(unsigned, maps + 4L * signed.length);
    }

    void gradientNorm(List<Parameter> parameters, Tensor norm) {
        withTable(MomentLayout.BITS_32, withoutMoments(parameters), (table, parts) -> {
            try (CudaTensor squares = stage.doubles(Math.max(1, parts))) {
                stage.kernel(SOURCE, "gradient_squares").address(squares).number(table).launch(parts, THREADS);
                stage.kernel(SOURCE, "gradient_norm").address(norm).address(squares).integer(parts).launch(1, THREADS);
            }
        });
    }

    void adamW(List<AdamWState> states, AdamWStep step, Tensor norm) {
        double correction1 = 1 - Math.pow(step.beta1(), step.step()), correction2 = 1 - Math.pow(step.beta2(), step.step());
        update(MomentLayout.BITS_32, states.stream().map(state -> new Moments(state.parameter(), state.tensors())).toList(), (table, parts) -> stage.kernel(SOURCE, "adam_w")
                .number(table).address(norm).real(step.maxGradNorm()).real((float) (1 - step.learningRate() * step.weightDecay()))
                .real((float) (1 - step.beta1())).real((float) step.beta2()).real((float) (1 - step.beta2())).real((float) step.eps())
                .real((float) (1 / Math.sqrt(correction2))).real((float) (step.learningRate() / correction1)).launch(parts, THREADS));
    }

    void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm) {
        AdamW8bitNumbers numbers = AdamW8bitNumbers.of(step);
        update(MomentLayout.BITS_8, states.stream().map(state -> new Moments(state.parameter(), state.tensors())).toList(), (table, parts) -> stage.kernel(SOURCE, "adam_w_8bit")
                .number(table).number(maps).address(norm).real(step.maxGradNorm()).real(numbers.beta1()).real(numbers.oneMinusBeta1()).real(numbers.beta2())
                .real(numbers.oneMinusBeta2()).real(numbers.scaledEps()).real(numbers.stepSize()).real(numbers.decay()).launch(parts, THREADS));
    }

    void zeroGradients(List<Parameter> parameters) {
        withTable(MomentLayout.BITS_32, withoutMoments(parameters), (table, parts) -> stage.kernel(SOURCE, "zero_gradients").number(table).launch(parts, THREADS));
    }

    private static List<Moments> withoutMoments(List<Parameter> parameters) {
        return parameters.stream().map(parameter -> new Moments(parameter, List.of())).toList();
    }

    private void update(MomentLayout layout, List<Moments> all, Update update) {
        List<Moments> here = all.stream().filter(moments -> !moments.arePaged()).toList(), there = all.stream().filter(Moments::arePaged).toList();
        if (!here.isEmpty()) {
            withTable(layout, here, update);
        }
        if (!there.isEmpty()) {
            paged.update(layout, there, update);
        }
    }

    private void withTable(MomentLayout layout, List<Moments> all, Update update) {
        int parts = all.stream().mapToInt(moments -> Math.toIntExact(Math.ceilDiv(moments.elements(), layout.part()))).sum(), at = 0;
        long[] fields = new long[parts * layout.fields()];
        for (Moments moments : all) {
            long value = CudaTensor.address(moments.parameter().value()), gradient = CudaTensor.address(moments.parameter().gradient());
            long[] columns = new long[layout.columns().size()];
            for (int i = 0; i < moments.tensors().size(); i++) {
                columns[i] = CudaTensor.address(moments.tensors().get(i));
            }
            for (long from = 0; from < moments.elements(); from += layout.part()) {
                fields[at++] = value + Float.BYTES * from;
                fields[at++] = gradient + Float.BYTES * from;
                for (int i = 0; i < columns.length; i++) {
                    fields[at++] = columns[i] + layout.columns().get(i).bytes(from);
                }
                fields[at++] = Math.min(layout.part(), moments.elements() - from);
            }
        }
        update.launch(tables.address(fields), parts);
    }

    @Override
    public void close() {
        tables.close();
        paged.close();
        memory.giveBack(maps);
    }
}
