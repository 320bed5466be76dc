package jqlora.ops.cuda;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import jqlora.ops.AdamW8bitNumbers;
import jqlora.ops.AdamW8bitState;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.EightBitMoment;
import jqlora.ops.Parameter;
import jqlora.quant.DynamicMap;
import jqlora.tensor.Tensor;

/** Norm, AdamW with moments in 32 or 8 bits, and zeroing over all trained tensors in one launch each. The table of their parts is uploaded when it is another one than before. */
final class CudaOptimizer implements AutoCloseable {
    private static final String SOURCE = "optimizer";
    private static final long PART = 65_536;
    private static final long PART_OF_8_BITS = 16_384;
    private static final int FIELDS = 5, FIELDS_OF_8_BITS = 7, THREADS = 256, KEPT_TABLES = 8;

    /** Addresses and sizes of the parts, as optimizer.cu has them, on the host and on the device. */
    private record Table(long[] fields, int parts, long address) { }

    private final CudaOps ops;
    private final DeviceMemory memory;
    private final Transfers transfers;
    private final List<Table> tables = new ArrayList<>();
    private final long maps;

    CudaOptimizer(CudaOps ops, DeviceMemory memory, Transfers transfers) {
        this.ops = ops;
        this.memory = memory;
        this.transfers = transfers;
        float[] signed = DynamicMap.signed().values(), unsigned = DynamicMap.unsigned().values();
        maps = memory.take(4L * (signed.length + unsigned.length));
        transfers.upload(signed, maps);
        transfers.upload(unsigned, maps + 4L * signed.length);
    }

    void gradientNorm(List<Parameter> parameters, Tensor norm) {
        Table table = table(parameters.stream().map(parameter -> new AdamWState(parameter, null, null)).toList());
        try (CudaTensor squares = ops.doubles(Math.max(1, table.parts()))) {
            ops.kernel(SOURCE, "gradient_squares").address(squares).number(table.address).launch(table.parts(), THREADS);
            ops.kernel(SOURCE, "gradient_norm").address(norm).address(squares).integer(table.parts()).launch(1, THREADS);
        }
    }

    void adamW(List<AdamWState> states, AdamWStep step, Tensor norm) {
        Table table = table(states);
        double correction1 = 1 - Math.pow(step.beta1(), step.step()), correction2 = 1 - Math.pow(step.beta2(), step.step());
        ops.kernel(SOURCE, "adam_w").number(table.address).address(norm).real(step.maxGradNorm()).real((float) (1 - step.learningRate() * step.weightDecay()))
                .real((float) (1 - step.beta1())).real((float) step.beta2()).real((float) (1 - step.beta2())).real((float) step.eps())
                .real((float) (1 / Math.sqrt(correction2))).real((float) (step.learningRate() / correction1)).launch(table.parts(), THREADS);
    }

    void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm) {
        Table table = tableOf8bit(states);
        AdamW8bitNumbers numbers = AdamW8bitNumbers.of(step);
        ops.kernel(SOURCE, "adam_w_8bit").number(table.address).number(maps).address(norm).real(step.maxGradNorm()).real(numbers.beta1()).real(numbers.oneMinusBeta1())
                .real(numbers.beta2()).real(numbers.oneMinusBeta2()).real(numbers.scaledEps()).real(numbers.stepSize()).real(numbers.decay()).launch(table.parts(), THREADS);
    }

    void zeroGradients(List<Parameter> parameters) {
        Table table = table(parameters.stream().map(parameter -> new AdamWState(parameter, null, null)).toList());
        ops.kernel(SOURCE, "zero_gradients").number(table.address).launch(table.parts(), THREADS);
    }

    private Table table(List<AdamWState> states) {
        int parts = states.stream().mapToInt(state -> (int) Math.ceilDiv(state.parameter().value().shape().size(), PART)).sum();
        long[] fields = new long[parts * FIELDS];
        int at = 0;
        for (AdamWState state : states) {
            long size = state.parameter().value().shape().size();
            long value = CudaTensor.address(state.parameter().value()), gradient = CudaTensor.address(state.parameter().gradient());
            long first = CudaTensor.address(state.firstMoment()), second = CudaTensor.address(state.secondMoment());
            for (long from = 0; from < size; from += PART) {
                fields[at++] = value + 4 * from;
                fields[at++] = gradient + 4 * from;
                fields[at++] = first + 4 * from;
                fields[at++] = second + 4 * from;
                fields[at++] = Math.min(PART, size - from);
            }
        }
        return table(fields, parts);
    }

    private Table tableOf8bit(List<AdamW8bitState> states) {
        int parts = states.stream().mapToInt(state -> (int) Math.ceilDiv(state.parameter().value().shape().size(), PART_OF_8_BITS)).sum();
        long[] fields = new long[parts * FIELDS_OF_8_BITS];
        int at = 0;
        for (AdamW8bitState state : states) {
            long size = state.parameter().value().shape().size();
            long value = CudaTensor.address(state.parameter().value()), gradient = CudaTensor.address(state.parameter().gradient());
            for (long from = 0; from < size; from += PART_OF_8_BITS) {
                fields[at++] = value + 4 * from;
                fields[at++] = gradient + 4 * from;
                for (EightBitMoment moment : List.of(state.firstMoment(), state.secondMoment())) {
                    fields[at++] = CudaTensor.address(moment.codes()) + from;
                    fields[at++] = CudaTensor.address(moment.absmax()) + 4 * from / EightBitMoment.BLOCK_SIZE;
                }
                fields[at++] = Math.min(PART_OF_8_BITS, size - from);
            }
        }
        return table(fields, parts);
    }

    private Table table(long[] fields, int parts) {
        for (Table table : tables) {
            if (Arrays.equals(table.fields, fields)) {
                return table;
            }
        }
        if (tables.size() == KEPT_TABLES) {
            memory.giveBack(tables.removeFirst().address);
        }
        Table table = new Table(fields, parts, memory.take(Math.max(8, 8L * fields.length)));
        transfers.upload(fields, table.address);
        tables.add(table);
        return table;
    }

    @Override
    public void close() {
        tables.forEach(table -> memory.giveBack(table.address));
        tables.clear();
        memory.giveBack(maps);
    }
}
