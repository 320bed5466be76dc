package jqlora.ops;

import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Queries, keys and values between their projection and attention. */
@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class HeadsTest {
    private static final float EPS = 1e-5f;
    private static final double UNITS = 16;
    private final TestOps test;

    HeadsTest(TestOps test) {
        this.test = test;
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    // ---- the order of a fused projection

    static Stream<AttentionShape> shapes() {
        return Stream.of(new AttentionShape(1, 1, 2, 0, 1), new AttentionShape(4, 4, 6, 0, 1), new AttentionShape(4, 2, 16, 0, 1), new AttentionShape(9, 3, 8, 0, 1),
                new AttentionShape(5, 1, 12, 0, 1));
    }

    /** Falcon's, and GPT-NeoX' with as many keys as queries: for each key head its queries, the key, the value. */
    @ParameterizedTest
    @MethodSource("shapes")
    void orderByGroup(AttentionShape shape) {
        int rows = 33, dim = shape.headDim(), group = shape.numAttentionHeads() / shape.numKeyValueHeads();
        Matrix separate = test.random(new Random(1), rows, shape.qkvColumns()), fused = Matrix.zeros(rows, shape.qkvColumns());
        int at = 0;
        for (int key = 0; key < shape.numKeyValueHeads(); key++) {
            for (int query = key * group; query < (key + 1) * group; query++, at += dim) {
                fused.put(0, at, separate.columns(query * dim, dim));
            }
            fused.put(0, at, separate.columns(shape.queryColumns() + key * dim, dim));
            fused.put(0, at + dim, separate.columns(shape.queryColumns() + shape.keyColumns() + key * dim, dim));
            at += 2 * dim;
        }
        Heads heads = new Heads(shape, HeadOrder.BY_GROUP, null, null, null);
        Tensor fusedT = test.activation(fused);
        test.poisonNext(rows, shape.qkvColumns());
        assertSameBits("separate", test.values(test.keep(test.ops().heads(fusedT, heads, null))), separate.toFloats());
        assertSameBits("fused is read", test.values(fusedT), fused.toFloats());
        Tensor dQkv = test.activation(separate);
        test.poisonNext(rows, shape.qkvColumns());
        assertSameBits("back", test.values(test.keep(test.ops().headsBackward(dQkv, null, heads, null))), fused.toFloats());
    }

    @ParameterizedTest
    @MethodSource("shapes")
    void everyBlockHasOnePlace(AttentionShape shape) {
        for (HeadOrder order : HeadOrder.values()) {
            int[] blocks = order.blocks(shape);
            Arrays.sort(blocks);
            assertArrayEquals(IntStream.range(0, blocks.length).toArray(), blocks, order.toString());
        }
    }

    /** Order, norms and rotation together against one after the other. */
    @Test
    void orderNormsAndRotation() {
        AttentionShape shape = new AttentionShape(4, 2, 6, 0, 1);
        int rows = 20, dim = 6;
        Random random = new Random(2);
        Matrix fused = test.random(random, rows, shape.qkvColumns()), dY = test.random(random, rows, shape.qkvColumns());
        Matrix q = Matrix.random(random, 1, dim).rounded(DType.F32), k = Matrix.random(random, 1, dim).rounded(DType.F32);
        Matrix angles = Matrix.random(random, 50, 3), cos = angles.map(Math::cos).rounded(DType.F32), sin = angles.map(Math::sin).rounded(DType.F32);
        int[] at = random.ints(rows, 0, 50).toArray();
        Heads heads = new Heads(shape, HeadOrder.BY_GROUP, Calls.norms(test.trained("q", q, Matrix.zeros(1, dim), dim), test.trained("k", k, Matrix.zeros(1, dim), dim), EPS),
                new RopeTable(test.floats(cos), test.floats(sin)), test.ids(at));
        Tensor rstd = test.poisoned(DType.F32, rows, 6), fusedT = test.activation(fused);
        Matrix separate = blocks(fused, shape, false);
        Tensor y = test.keep(test.ops().heads(fusedT, heads, rstd));
        test.assertNear("y", y, ReferenceAttention.rotate(ReferenceNorm.headForward(separate, shape, q, k, EPS), shape, cos, sin, at, 1), UNITS);

        Tensor dFused = test.keep(test.ops().headsBackward(test.activation(dY), fusedT, heads, rstd));
        Matrix dNormed = ReferenceAttention.rotate(dY, shape, cos, sin, at, -1);
        test.assertNear("dFused", dFused, blocks(ReferenceNorm.headInputGradient(dNormed, separate, shape, q, k, EPS), shape, true), UNITS);
        test.assertNear("dQ weight", heads.norms().query().weight().gradient(), ReferenceNorm.headWeightGradient(true, dNormed, separate, shape, EPS), UNITS);
        test.assertNear("dK weight", heads.norms().key().weight().gradient(), ReferenceNorm.headWeightGradient(false, dNormed, separate, shape, EPS), UNITS);
    }

    /** OLMo 2: all queries of a row are one vector, and all keys another; with Gemma's weights, which stand for their distance from 1. */
    @ParameterizedTest
    @MethodSource("shapes")
    void normsAcrossHeads(AttentionShape shape) {
        int rows = 17, queries = shape.queryColumns(), keys = shape.keyColumns();
        Random random = new Random(5);
        Matrix qkv = test.random(random, rows, shape.qkvColumns()), dY = test.random(random, rows, shape.qkvColumns());
        Matrix q = Matrix.random(random, 1, queries).rounded(DType.F32), k = Matrix.random(random, 1, keys).rounded(DType.F32);
        Parameter query = test.trained("q", q, Matrix.zeros(1, queries), queries), key = test.trained("k", k, Matrix.zeros(1, keys), keys);
        Heads heads = new Heads(shape, HeadOrder.SEPARATE, new HeadNorms(new Norm.Rms(query, 1, EPS), new Norm.Rms(key, 1, EPS), true), null, null);
        Tensor qkvT = test.activation(qkv), rstd = test.poisoned(DType.F32, rows, 2);
        test.poisonNext(rows, shape.qkvColumns());
        Tensor y = test.keep(test.ops().heads(qkvT, heads, rstd)), dQkv = test.activation(dY);
        test.ops().headsBackward(dQkv, qkvT, heads, rstd);
        AttentionShape whole = new AttentionShape(1, 1, queries, 0, 1), wholeKeys = new AttentionShape(1, 1, keys, 0, 1);
        Matrix ones = Matrix.filled(1, queries, 1), onesOfKeys = Matrix.filled(1, keys, 1);
        Matrix ofQueries = three(qkv.columns(0, queries)), ofKeys = three(qkv.columns(queries, keys)), dQueries = three(dY.columns(0, queries)), dKeys = three(dY.columns(queries, keys));
        Matrix expected = qkv.scaled(1), dExpected = dY.scaled(1);
        expected.put(0, 0, ReferenceNorm.headForward(ofQueries, whole, q.plus(ones), q.plus(ones), EPS).columns(0, queries));
        expected.put(0, queries, ReferenceNorm.headForward(ofKeys, wholeKeys, k.plus(onesOfKeys), k.plus(onesOfKeys), EPS).columns(0, keys));
        dExpected.put(0, 0, ReferenceNorm.headInputGradient(dQueries, ofQueries, whole, q.plus(ones), q.plus(ones), EPS).columns(0, queries));
        dExpected.put(0, queries, ReferenceNorm.headInputGradient(dKeys, ofKeys, wholeKeys, k.plus(onesOfKeys), k.plus(onesOfKeys), EPS).columns(0, keys));
        test.assertNear("y", y, expected, UNITS);
        test.assertNear("dQkv", dQkv, dExpected, UNITS);
        test.assertNear("dQ weight", query.gradient(), ReferenceNorm.headWeightGradient(true, dQueries, ofQueries, whole, EPS), UNITS);
        test.assertNear("dK weight", key.gradient(), ReferenceNorm.headWeightGradient(true, dKeys, ofKeys, wholeKeys, EPS), UNITS);
    }

    /** One head's query, key and value, all the same. */
    private static Matrix three(Matrix head) {
        Matrix all = Matrix.zeros(head.rows(), 3 * head.columns());
        for (int i = 0; i < 3; i++) {
            all.put(0, i * head.columns(), head);
        }
        return all;
    }

    /** @param back from attention's order to the fused one */
    private static Matrix blocks(Matrix from, AttentionShape shape, boolean back) {
        int[] blocks = HeadOrder.BY_GROUP.blocks(shape);
        Matrix to = Matrix.zeros(from.rows(), from.columns());
        for (int i = 0; i < blocks.length; i++) {
            to.put(0, (back ? blocks[i] : i) * shape.headDim(), from.columns((back ? i : blocks[i]) * shape.headDim(), shape.headDim()));
        }
        return to;
    }

    // ---- linear biases

    /** BLOOM's and MPT's: halves of halves for a power of two, else those of the next lower one and every second of the next higher one. */
    @Test
    void slopesOfLinearBiases() {
        AttentionShape eight = new AttentionShape(8, 8, 4, 0, 1, 0, 8), six = new AttentionShape(6, 6, 4, 0, 1, 0, 8);
        float[] ofEight = {0.5f, 0.25f, 0.125f, 0.0625f, 0.03125f, 0.015625f, 0.0078125f, 0.00390625f}, ofSix = {0.25f, 0.0625f, 0.015625f, 0.00390625f, 0.5f, 0.125f};
        for (int head = 0; head < 6; head++) {
            assertEquals(ofEight[head], eight.slope(head));
            assertEquals(ofSix[head], six.slope(head));
        }
    }

    // ---- rotary embedding

    @ParameterizedTest
    @MethodSource("jqlora.ops.AttentionTest$Case#all")
    void rope(AttentionTest.Case c) {
        rope(c, c.headDim() / 2, false);
        rope(c, c.headDim() / 2, true);
    }

    @ParameterizedTest
    @MethodSource("jqlora.ops.AttentionTest$Case#all")
    void ropeOfTheFrontOfAHead(AttentionTest.Case c) {
        rope(c, Math.max(1, c.headDim() / 8), false);
        rope(c, Math.max(1, c.headDim() / 4), true);
    }

    /** @param half of the coordinates that turn */
    private void rope(AttentionTest.Case c, int half, boolean interleaved) {
        AttentionShape shape = c.shape();
        Random random = new Random(3);
        int positions = 400;
        Matrix angles = Matrix.zeros(positions, half);
        for (int position = 0; position < positions; position++) {
            for (int i = 0; i < half; i++) {
                angles.set(position, i, position * Math.pow(10000, -(double) i / half));
            }
        }
        Matrix cos = angles.map(Math::cos).rounded(DType.F32), sin = angles.map(Math::sin).rounded(DType.F32);
        RopeTable table = new RopeTable(test.floats(cos), test.floats(sin), interleaved);
        int[] at = random.ints(c.rows(), 0, positions).toArray();
        Matrix qkv = test.random(random, c.rows(), shape.qkvColumns());
        Tensor tensor = test.activation(qkv), atT = test.ids(at);
        Calls.rope(test.ops(), tensor, shape, table, atT);
        test.assertNear("rotated", tensor, ReferenceAttention.rotate(qkv, shape, cos, sin, at, 1, interleaved), 2);
        tensor = test.activation(qkv);
        Calls.ropeBackward(test.ops(), tensor, shape, table, atT);
        test.assertNear("rotated back", tensor, ReferenceAttention.rotate(qkv, shape, cos, sin, at, -1, interleaved), 2);
    }
}
