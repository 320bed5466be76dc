package jqlora.ops.cuda;

import java.util.List;
import java.util.function.Function;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.ops.cuda.Matmul.Mat;
import jqlora.ops.cuda.Operands.Operand;
import jqlora.tensor.Tensor;

/**
 * Linear layers with a shared input, one product for all of them and their adapters: the room behind each row of x holds {@code x A^T}, that behind
 * each row of dy holds {@code dy sB}, and {@link Operands} has the other factor. With dropout the adapters' products are made by themselves, see {@link CudaDropout}.
 */
final class CudaLinear {
    /** Which gradients of the adapters {@link #backward(CudaTensor, CudaTensor, Function, List, CudaTensor, long, Gradients)} makes; its caller sees to the other. */
    enum Gradients { OF_A, OF_B, OF_BOTH }

    private final CudaStage stage;
    private final Matmul matmul;
    private final Operands operands;
    private final CudaFewRows fewRows;
    private final CudaDropout dropout;
    private final Fp8Linear fp8;

    /** @param fp8 for groups in 4 bits; null to compute all products in bfloat16 */
    CudaLinear(CudaStage stage, Matmul matmul, Operands operands, CudaFewRows fewRows, CudaDropout dropout, Fp8Linear fp8) {
        this.stage = stage;
        this.matmul = matmul;
        this.operands = operands;
        this.fewRows = fewRows;
        this.dropout = dropout;
        this.fp8 = fp8;
    }

    /** @param added summed with the result; null for none */
    CudaTensor forward(CudaTensor x, LinearGroup group, CudaTensor inner, long dropoutKey, CudaTensor added) {
        if (x.rows() <= CudaFewRows.MOST_ROWS && !CudaDropout.isDropped(group, dropoutKey)) {
            return fewRows.forward(x, group, inner, added);
        }
        CudaTensor y = isInFp8(group) ? fp8.forward(x, group, inner, dropoutKey, added) : product(x, group, inner, dropoutKey, added);
        long column = 0;
        for (LinearWeights linear : group.layers()) {
            long outs = linear.weight().outFeatures();
            if (linear.bias() != null) {
                CudaTensor bias = CudaTensor.of(linear.bias().value());
                stage.kernel("linear", "add_bias").number(y.address() + 2 * column).number(y.stride()).address(bias).number(y.rows()).integer(outs).integer(bias.type())
                        .launchFor(y.rows() * outs);
            }
            column += outs;
        }
        return y;
    }

    /** Whether products with the group's weights are in FP8. */
    boolean isInFp8(LinearGroup group) {
        return fp8 != null && Fp8Weights.take(group);
    }

    private CudaTensor product(CudaTensor x, LinearGroup group, CudaTensor inner, long dropoutKey, CudaTensor added) {
        Operand operand = operands.acquire(group);
        stage.reserveRoom(operand.padded());
        CudaTensor y = stage.matrix(x.rows(), operand.outs());
        try (Wide wide = Wide.of(stage, x, operand.padded())) {
            Mat in = wide.all();
            if (operand.rank() > 0) {
                Mat room = in.columns(operand.ins(), operand.padded());
                if (CudaDropout.isDropped(group, dropoutKey)) {
                    dropout.inner(x, room, group, operand.a(), dropoutKey);
                } else {
                    matmul.multiply(in.columns(0, operand.ins()), false, operand.a(), true, room);
                }
                stage.kernel("linear", "copy_columns").matrix(inner).number(room.address()).number(room.stride()).number(x.rows()).integer(operand.rank())
                        .launchFor(x.rows() * Math.ceilDiv(operand.rank(), 8));
            }
            if (added == null) {
                matmul.multiply(in, false, operand.weightAndB(), true, Mat.of(y));
            } else {
                matmul.multiplyAdd(in, false, operand.weightAndB(), true, Mat.of(added), Mat.of(y));
            }
        }
        operands.release(operand.buffer());
        return y;
    }

    void backward(CudaTensor dX, CudaTensor dY, CudaTensor x, LinearGroup group, CudaTensor inner, long dropoutKey) {
        backward(dX, dY, dInner -> x, group, inner, dropoutKey, Gradients.OF_BOTH);
    }

    /**
     * @param input makes x once dX is complete, in whose place it may be, out of the gradient of {@code inner}, [rows, rank] and null without adapters; with
     *     gradients of B alone x is not read
     */
    void backward(CudaTensor dX, CudaTensor dY, Function<Mat, CudaTensor> input, LinearGroup group, CudaTensor inner, long dropoutKey, Gradients gradients) {
        boolean adapters = group.rank() > 0;
        CudaTensor x = null;
        if (dX != null || adapters) {
            x = isInFp8(group) ? backwardInFp8(dX, dY, input, group, inner, dropoutKey, gradients) : backwardOfProduct(dX, dY, input, group, inner, dropoutKey, gradients);
        }
        x = x == null ? input.apply(null) : x;
        long column = 0;
        for (LinearWeights linear : group.layers()) {
            long outs = linear.weight().outFeatures();
            Mat dOut = Mat.of(dY).columns(column, outs);
            if (linear.weight() instanceof Weight.Dense(Parameter parameter) && parameter.isTrained()) {
                Mat gradient = floats(parameter.gradient());
                matmul.multiplyAdd(dOut, true, Mat.of(x), false, gradient, gradient);
            }
            if (linear.bias() != null && linear.bias().isTrained()) {
                stage.kernel("linear", "add_column_sums").address(linear.bias().gradient()).number(dOut.address()).number(dOut.stride()).number(dOut.rows()).integer(outs)
                        .launch(Math.ceilDiv(outs, 32L), 1, 32, 8);
            }
            column += outs;
        }
    }

    private CudaTensor backwardOfProduct(CudaTensor dX, CudaTensor dY, Function<Mat, CudaTensor> input, LinearGroup group, CudaTensor inner, long dropoutKey,
            Gradients gradients) {
        Operand operand = operands.acquire(group);
        stage.reserveRoom(operand.padded());
        boolean dropped = CudaDropout.isDropped(group, dropoutKey);
        try (Wide wide = Wide.of(stage, dY, operand.padded()); CudaTensor drops = dropped && dX != null ? dropout.drops(dX, group) : null) {
            Mat out = wide.all().columns(0, operand.outs()), dInner = wide.all().columns(operand.outs(), operand.padded());
            if (operand.rank() > 0) {
                matmul.multiply(out, false, operand.b(), false, dInner);
            }
            if (dX != null && dropped) {
                matmul.multiply(out, false, operand.weight(), false, Mat.of(dX));
                dropout.addToInputGradient(dX, dInner, group, operand.a(), dropoutKey, drops);
            } else if (dX != null) {
                matmul.multiply(wide.all(), false, operand.weightOverA(), false, Mat.of(dX));
            }
            operands.release(operand.buffer());
            CudaTensor x = input.apply(operand.rank() > 0 ? dInner : null);
            if (operand.rank() > 0) {
                adapterGradients(dInner, out, x, group, inner, dropped ? dropoutKey : 0, drops, gradients);
            }
            return x;
        }
    }

    private CudaTensor backwardInFp8(CudaTensor dX, CudaTensor dY, Function<Mat, CudaTensor> input, LinearGroup group, CudaTensor inner, long dropoutKey,
            Gradients gradients) {
        int rank = group.rank();
        boolean dropped = CudaDropout.isDropped(group, dropoutKey);
        try (CudaTensor dInner = rank > 0 ? stage.matrix(dY.rows(), rank) : null; CudaTensor drops = dropped && dX != null ? dropout.drops(dX, group) : null) {
            fp8.backward(dX, dY, dInner, group, dropoutKey, drops);
            CudaTensor x = input.apply(rank > 0 ? Mat.of(dInner) : null);
            if (rank > 0) {
                adapterGradients(Mat.of(dInner), Mat.of(dY), x, group, inner, dropped ? dropoutKey : 0, drops, gradients);
            }
            return x;
        }
    }

    private void adapterGradients(Mat dInner, Mat out, CudaTensor x, LinearGroup group, CudaTensor inner, long dropoutKey, CudaTensor drops,
            Gradients gradients) {
        boolean trained = false;
        for (LinearWeights linear : group.layers()) {
            trained |= linear.lora() != null && (linear.lora().a().isTrained() || linear.lora().b().isTrained());
        }
        if (!trained) {
            return;
        }
        long ins = x.columns(), rank = group.rank();
        boolean ofA = gradients != Gradients.OF_B, ofB = gradients != Gradients.OF_A;
        try (CudaTensor da = ofA && dropoutKey == 0 ? stage.floats(rank, ins) : null; CudaTensor db = ofB ? stage.floats(out.columns(), rank) : null) {
            if (da != null) {
                matmul.multiply(dInner.columns(0, rank), true, Mat.of(x), false, floats(da));
            } else if (ofA) {
                dropout.addToGradientsOfA(dInner, x, group, dropoutKey, drops);
            }
            if (db != null) {
                matmul.multiply(out, true, Mat.of(inner), false, floats(db));
            }
            long column = 0, row = 0;
            for (LinearWeights linear : group.layers()) {
                LoraFactors lora = linear.lora();
                if (lora != null) {
                    long r = lora.r(), outs = linear.weight().outFeatures();
                    stage.kernel("linear", "adapter_gradient").address(da == null ? null : lora.a().gradient()).address(db == null ? null : lora.b().gradient())
                            .number(da == null ? 0 : da.address() + 4 * column * ins).number(db == null ? 0 : db.address() + 4 * (row * rank + column)).number(rank).real(lora.scaling())
                            .integer(ins).integer(outs).integer(r).launchFor(r * ins + outs * r);
                    column += r;
                }
                row += linear.weight().outFeatures();
            }
        }
    }

    static Mat floats(Tensor tensor) {
        return Mat.floats(CudaTensor.of(tensor));
    }

    /** A matrix with room behind its rows: itself, or a copy where it was made before the room was known. */
    private record Wide(Mat all, CudaTensor copy) implements AutoCloseable {
        static Wide of(CudaStage stage, CudaTensor x, int room) {
            if (x.stride() >= x.columns() + room) {
                return new Wide(Mat.of(x.address(), x.stride(), x.rows(), x.columns() + room), null);
            }
            CudaTensor copy = stage.matrix(x.rows(), x.columns());
            stage.copyInto(copy, x);
            return new Wide(Mat.of(copy.address(), copy.stride(), copy.rows(), copy.columns() + room), copy);
        }

        @Override
        public void close() {
            if (copy != null) {
                copy.close();
            }
        }
    }
}
