package jqlora.ops.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Random;
import jqlora.ops.AttentionShape;
import jqlora.ops.Matrix;
import jqlora.ops.ReferenceAttention;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** cuDNN's attention against the reference in double precision, at the lengths where its kernels have had faults. */
@Tag("gpu")
class FlashAttentionTest {
    private static final AttentionShape WIDE = new AttentionShape(4, 2, 128, 0, (float) (1 / Math.sqrt(128))), NARROW = new AttentionShape(3, 3, 64, 0, 0.125f);

    @ParameterizedTest
    @EnumSource
    void matchesTheReference(CudaOptions.Attention order) {
        try (CudaOps ops = CudaOps.open(Gpu.options().withAttention(order))) {
            for (AttentionShape shape : new AttentionShape[] {WIDE, NARROW}) {
                for (int length : new int[] {1, 7, 64, 100, 128, 160, 192, 320}) {
                    check(ops, shape, Sequences.ofLengths(length, length), 1, order);
                }
                check(ops, shape, Sequences.ofLengths(100, 1, 64, 192, 37), 1, order);
                check(ops, shape, Sequences.ofLengths(320, 128), 1, order);
                // scores in the hundreds: rows whose logarithm is far from zero
                check(ops, shape, Sequences.ofLengths(192, 192), 6, order);
            }
            assertTrue(ops.attentionPlans() >= 40, "cuDNN has compiled " + ops.attentionPlans() + " plans, so most of this was computed by other kernels");
            assertEquals(0, ops.memory().bytesInUse());
        }
    }

    /** Where the backward works on a part of the heads at a time it gives what it gives on all at once, the order of the sums aside. */
    @Test
    void headsInParts() {
        AttentionShape shape = new AttentionShape(32, 8, 128, 0, (float) (1 / Math.sqrt(128)));
        for (Sequences sequences : new Sequences[] {Sequences.ofLengths(2048, 2048), Sequences.ofLengths(2048, 1500, 700)}) {
            assertEquals(2, CudaAttention.graphs(shape, sequences, 0, true).mostParts());
            Matrix qkv = Matrix.random(new Random(1), sequences.rows(), shape.qkvColumns()).rounded(DType.BF16), dY = Matrix.random(new Random(2), sequences.rows(), shape.queryColumns()).rounded(DType.BF16);
            assertNear("dQkv of " + sequences, gradient(CudaOptions.Attention.DETERMINISTIC, shape, sequences, qkv, dY),
                    Matrix.of(sequences.rows(), shape.qkvColumns(), gradient(CudaOptions.Attention.FASTEST, shape, sequences, qkv, dY)), 3e-3);
        }
    }

    private static float[] gradient(CudaOptions.Attention order, AttentionShape shape, Sequences sequences, Matrix qkv, Matrix dY) {
        try (CudaOps ops = CudaOps.open(Gpu.options().withAttention(order)); Tensor in = upload(ops, qkv); Tensor dOut = upload(ops, dY);
                Tensor logSumExp = ops.allocate(DType.F32, sequences.rows(), shape.numAttentionHeads()); Tensor dIn = ops.allocate(DType.BF16, sequences.rows(), shape.qkvColumns());
                Tensor y = ops.attention(in, shape, sequences, logSumExp)) {
            ops.attentionBackward(dIn, dOut, in, y, logSumExp, shape, sequences);
            return ops.download(dIn).toFloats();
        }
    }

    private static void check(CudaOps ops, AttentionShape shape, Sequences sequences, double scale, CudaOptions.Attention order) {
        Random random = new Random(sequences.rows());
        String what = shape.headDim() + " wide, " + sequences + " of up to " + sequences.maxLength() + ", scale " + scale + ", " + order + ": ";
        Matrix qkv = Matrix.random(random, sequences.rows(), shape.qkvColumns()).scaled(scale).rounded(DType.BF16);
        Matrix dY = Matrix.random(random, sequences.rows(), shape.queryColumns()).rounded(DType.BF16);
        ReferenceAttention.Result expected = ReferenceAttention.forward(qkv, shape, sequences);
        try (Tensor in = upload(ops, qkv); Tensor dOut = upload(ops, dY); Tensor logSumExp = ops.allocate(DType.F32, sequences.rows(), shape.numAttentionHeads());
                Tensor dIn = ops.allocate(DType.BF16, sequences.rows(), shape.qkvColumns()); Tensor y = ops.attention(in, shape, sequences, logSumExp)) {
            assertNear(what + "y", ops.download(y).toFloats(), expected.y(), 5e-3);
            assertNear(what + "logSumExp", ops.download(logSumExp).toFloats(), expected.logSumExp(), 1e-4);
            ops.attentionBackward(dIn, dOut, in, y, logSumExp, shape, sequences);
            float[] first = ops.download(dIn).toFloats();
            assertNear(what + "dQkv", first, ReferenceAttention.backward(dY, qkv, shape, sequences), scale > 1 ? 3e-2 : 1e-2);
            if (order == CudaOptions.Attention.DETERMINISTIC) {
                for (int i = 0; i < 3; i++) {
                    ops.attentionBackward(dIn, dOut, in, y, logSumExp, shape, sequences);
                    assertArrayEquals(first, ops.download(dIn).toFloats(), what + "dQkv again");
                }
            }
        }
    }

    private static Tensor upload(CudaOps ops, Matrix matrix) {
        float[] floats = matrix.toFloats();
        MemorySegment bits = MemorySegment.ofArray(new byte[2 * floats.length]);
        FloatConversion.fromFloats(floats, 0, floats.length, DType.BF16, bits, 0);
        return ops.upload(new TensorView(DType.BF16, Shape.of(matrix.rows(), matrix.columns()), bits));
    }

    private static void assertNear(String what, float[] actual, Matrix expected, double tolerance) {
        double[] values = expected.toArray();
        double difference = 0, length = 0;
        for (int i = 0; i < values.length; i++) {
            difference += (actual[i] - values[i]) * (actual[i] - values[i]);
            length += values[i] * values[i];
        }
        double relative = Math.sqrt(difference / length);
        assertTrue(relative <= tolerance, () -> what + " differs by " + relative + " of its length, at most " + tolerance + " is expected; first values " + Arrays.toString(Arrays.copyOf(actual, 3)));
    }
}
