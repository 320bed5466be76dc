package jqlora.ops.cuda;

import java.util.List;
import java.util.function.Supplier;
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
    private final CudaOps ops;
    private final Matmul matmul;
    private final Operands operands;
    private final CudaFewRows fewRows;
    private final CudaDropout dropout;

    CudaLinear(CudaOps ops, Matmul matmul, Operands operands, Transfers transfers, CudaFewRows fewRows) {
        this.ops = ops;
        this.matmul = matmul;
        this.operands = operands;
        this.fewRows = fewRows;
        this.dropout = new CudaDropout(ops, matmul, transfers);
    }

    /** @param added summed with the result; null for none */
    CudaTensor forward(CudaTensor x, List<LinearWeights> group, CudaTensor inner, long dropoutKey, CudaTensor added) {
        if (x.rows() <= CudaFewRows.MOST_ROWS && !CudaDropout.isDropped(group, dropoutKey)) {
            return fewRows.forward(x, group, inner, added);
        }
        Operand operand = operands.acquire(group);
        ops.reserveRoom(operand.padded());
        CudaTensor y = ops.matrix(x.rows(), operand.outs());
        try (Wide wide = Wide.of(ops, x, operand.padded())) {
            Mat in = wide.all();
            if (operand.rank() > 0) {
                if (CudaDropout.isDropped(group, dropoutKey)) {
                    dropout.inner(x, in.columns(operand.ins(), operand.padded()), group, operand, dropoutKey);
                } else {
                    matmul.multiply(in.columns(0, operand.ins()), false, operand.a(), true, in.columns(operand.ins(), operand.padded()));
                }
                ops.kernel("linear", "copy_columns").matrix(inner).number(in.columns(operand.ins(), 1).address()).number(in.stride()).number(x.rows()).integer(operand.rank())
                        .launchFor(x.rows() * operand.rank());
            }
            if (added == null) {
                matmul.multiply(in, false, operand.weightAndB(), true, Mat.of(y));
            } else {
                matmul.multiplyAdd(in, false, operand.weightAndB(), true, Mat.of(added), Mat.of(y));
            }
        }
        operands.release(operand);
        long column = 0;
        for (LinearWeights linear : group) {
            long outs = linear.weight().outFeatures();
            if (linear.bias() != null) {
                CudaTensor bias = CudaTensor.of(linear.bias().value());
                ops.kernel("linear", "add_bias").number(y.address() + 2 * column).number(y.stride()).address(bias).number(y.rows()).integer(outs).integer(bias.type())
                        .launchFor(y.rows() * outs);
            }
            column += outs;
        }
        return y;
    }

    void backward(CudaTensor dX, CudaTensor dY, CudaTensor x, List<LinearWeights> group, CudaTensor inner, long dropoutKey) {
        backward(dX, dY, () -> x, group, inner, dropoutKey);
    }

    /** @param input makes x once dX is complete; it may take dX's place */
    void backward(CudaTensor dX, CudaTensor dY, Supplier<CudaTensor> input, List<LinearWeights> group, CudaTensor inner, long dropoutKey) {
        boolean adapters = Operands.rank(group) > 0, wanted = dX != null || adapters;
        Operand operand = wanted ? operands.acquire(group) : null;
        CudaTensor x = null;
        if (wanted) {
            ops.reserveRoom(operand.padded());
            boolean dropped = CudaDropout.isDropped(group, dropoutKey);
            try (Wide wide = Wide.of(ops, dY, operand.padded()); CudaTensor drops = dropped && dX != null ? dropout.drops(dX, group) : null) {
                Mat out = wide.all().columns(0, operand.outs()), dInner = wide.all().columns(operand.outs(), operand.padded());
                if (adapters) {
                    matmul.multiply(out, false, operand.b(), false, dInner);
                }
                if (dX != null && dropped) {
                    matmul.multiply(out, false, operand.weight(), false, Mat.of(dX));
                    dropout.addToInputGradient(dX, dInner, group, operand, dropoutKey, drops);
                } else if (dX != null) {
                    matmul.multiply(wide.all(), false, operand.weightOverA(), false, Mat.of(dX));
                }
                operands.release(operand);
                x = input.get();
                if (adapters) {
                    adapterGradients(dInner, out, x, group, inner, dropped ? dropoutKey : 0, drops);
                }
            }
        }
        x = x == null ? input.get() : x;
        long column = 0;
        for (LinearWeights linear : group) {
            long outs = linear.weight().outFeatures();
            Mat dOut = Mat.of(dY).columns(column, outs);
            if (linear.weight() instanceof Weight.Dense(Parameter parameter) && parameter.isTrained()) {
                Mat gradient = floats(parameter.gradient());
                matmul.multiplyAdd(dOut, true, Mat.of(x), false, gradient, gradient);
            }
            if (linear.bias() != null && linear.bias().isTrained()) {
                ops.kernel("linear", "add_column_sums").address(linear.bias().gradient()).number(dOut.address()).number(dOut.stride()).number(dOut.rows()).integer(outs)
                        .launch(Math.ceilDiv(outs, 32L), 1, 32, 8);
            }
            column += outs;
        }
    }

    private void adapterGradients(Mat dInner, Mat out, CudaTensor x, List<LinearWeights> group, CudaTensor inner, long dropoutKey, CudaTensor drops) {
        boolean trained = false;
        for (LinearWeights linear : group) {
            trained |= linear.lora() != null && (linear.lora().a().isTrained() || linear.lora().b().isTrained());
        }
        if (!trained) {
            return;
        }
        long ins = x.columns(), rank = Operands.rank(group);
        try (CudaTensor da = dropoutKey == 0 ? ops.floats(rank, ins) : null; CudaTensor db = ops.floats(out.columns(), rank)) {
            if (da != null) {
                matmul.multiply(dInner.columns(0, rank), true, Mat.of(x), false, floats(da));
            } else {
                dropout.addToGradientsOfA(dInner, x, group, dropoutKey, drops);
            }
            matmul.multiply(out, true, Mat.of(inner), false, floats(db));
            long column = 0, row = 0;
            for (LinearWeights linear : group) {
                LoraFactors lora = linear.lora();
                if (lora != null) {
                    long r = lora.r(), outs = linear.weight().outFeatures();
                    ops.kernel("linear", "adapter_gradient").address(da == null ? null : lora.a().gradient()).address(lora.b().gradient())
                            .number(da == null ? 0 : da.address() + 4 * column * ins).number(db.address() + 4 * (row * rank + column)).number(rank).real(lora.scaling())
                            .integer(ins).integer(outs).integer(r).launchFor(r * ins + outs * r);
                    column += r;
                }
                row += linear.weight().outFeatures();
            }
        }
    }

    static Mat floats(Tensor tensor) {
        CudaTensor own = CudaTensor.of(tensor);
        return Mat.floats(own.address(), own.columns(), own.rows(), own.columns());
    }

    /** A matrix with room behind its rows: itself, or a copy where it was made before the room was known. */
    private record Wide(Mat all, CudaTensor copy) implements AutoCloseable {
        static Wide of(CudaOps ops, CudaTensor x, int room) {
            if (x.stride() >= x.columns() + room) {
                return new Wide(Mat.of(x.address(), x.stride(), x.rows(), x.columns() + room), null);
            }
            CudaTensor copy = ops.matrix(x.rows(), x.columns());
            ops.copyInto(copy, x);
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
