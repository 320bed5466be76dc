package jqlora.ops;

import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** Every operation on the same data, to compare bits: of two calls, of one thread and many, of a sequence alone and among others. */
public final class EveryOperation {
    /** Of three sequences. */
    public static final int[] SEEDS = {1, 2, 3};

    private static final AttentionShape HEADS = new AttentionShape(4, 2, 12, 40, 0.3f);
    private static final int HIDDEN = 65, INTERMEDIATE = 130, VOCAB = 301;

    private final TestOps test;
    private final Ops ops;
    private final Map<String, Tensor> results = new LinkedHashMap<>();

    public EveryOperation(TestOps test) {
        this.test = test;
        this.ops = test.ops();
    }

    /** What a sequence brings along: the same for it alone and in a batch. */
    private Matrix rows(String name, Sequences sequences, int[] seeds, int columns) {
        Matrix all = Matrix.zeros(sequences.rows(), columns);
        for (int i = 0; i < sequences.count(); i++) {
            all.put(sequences.start(i), 0, test.random(new Random(seeds[i] * 1000L + name.hashCode()), sequences.length(i), columns));
        }
        return all;
    }

    private Tensor result(String name, Tensor tensor) {
        results.put(name, tensor);
        return tensor;
    }

    private Tensor made(String name, Tensor tensor) {
        return result(name, test.keep(tensor));
    }

    /**
     * The results that have a row for each token: a sequence's own rows.
     *
     * @param seeds of each sequence's data
     * @param dropoutKey 0 where batches of other lengths are compared: the mask goes by the element's place
     */
    public Map<String, Matrix> tokenwise(Sequences sequences, int[] seeds, long dropoutKey) {
        int rows = sequences.rows();
        Tensor x = test.activation(rows("x", sequences, seeds, HIDDEN)), dY = test.activation(rows("dY", sequences, seeds, HIDDEN));
        norms(x, dY, sequences, seeds);
        linear(x, sequences, seeds, dropoutKey);
        attention(sequences, seeds);
        Tensor gateUp = test.activation(rows("gateUp", sequences, seeds, 2 * INTERMEDIATE));
        Tensor dGated = test.activation(rows("dGated", sequences, seeds, INTERMEDIATE));
        for (Activation activation : Activation.values()) {
            made(activation + " gated", Calls.gatedActivation(ops, gateUp, activation));
            Tensor dGateUp = result("dGateUp of " + activation, test.poisoned(ops.computeType(), rows, 2 * INTERMEDIATE));
            Calls.gatedActivationBackward(ops, dGateUp, dGated, gateUp, activation);
        }
        Tensor sum = result("sum", test.activation(rows("x", sequences, seeds, HIDDEN)));
        ops.addInPlace(sum, dY);
        made("plain of x", ops.compute(new Input.Activated(x, Activation.GELU)));
        int[] ids = IntStream.range(0, sequences.count()).flatMap(i -> new Random(seeds[i]).ints(sequences.length(i), 0, VOCAB)).toArray();
        made("embedding", ops.embedding(test.floats(test.random(new Random(1), VOCAB, HIDDEN)), test.ids(ids), 8.0625f));

        Map<String, Matrix> byName = new LinkedHashMap<>();
        results.forEach((name, tensor) -> byName.put(name, Matrix.of(rows, (int) tensor.shape().size() / rows, test.values(tensor))));
        return byName;
    }

    private void norms(Tensor x, Tensor dY, Sequences sequences, int[] seeds) {
        Random random = new Random(2);
        Parameter weight = test.frozen("norm", DType.BF16, Matrix.random(random, 1, HIDDEN).rounded(DType.BF16), HIDDEN);
        for (Norm norm : List.of(new Norm.Rms(weight, 0, 1e-5f), new Norm.Rms(weight, 1, 1e-5f), new Norm.Layer(weight, weight, 1e-5f), new Norm.Layer(weight, null, 1e-5f))) {
            String name = " of norm " + results.size();
            Tensor statistics = result("statistics" + name, test.poisoned(DType.F32, norm.statistics(sequences.rows()).toArray()));
            made("result" + name, Calls.norm(ops, x, norm, statistics));
            Tensor dX = result("dX" + name, test.activation(rows("dX", sequences, seeds, HIDDEN)));
            Calls.normBackward(ops, dX, dY, x, norm, statistics);
        }

        Parameter head = test.frozen("q_norm", DType.F32, Matrix.random(random, 1, 12).rounded(DType.F32), 12);
        Tensor qkv = test.activation(rows("qkv", sequences, seeds, HEADS.qkvColumns()));
        Tensor headRstd = result("headRstd", test.poisoned(DType.F32, sequences.rows(), 6));
        made("head normed", Calls.headNorm(ops, qkv, HEADS, head, head, 1e-5f, headRstd));
        Tensor dQkv = result("dQkv of norm", test.activation(rows("dQkv", sequences, seeds, HEADS.qkvColumns())));
        Calls.headNormBackward(ops, dQkv, qkv, HEADS, head, head, headRstd);
    }

    private void linear(Tensor x, Sequences sequences, int[] seeds, long dropoutKey) {
        RandomGroup group = group(0.1f);
        Tensor inner = result("inner", test.poisoned(ops.computeType(), sequences.rows(), group.innerColumns()));
        made("linear", Calls.linear(ops, x, group.weights(), inner, dropoutKey));
        Tensor dX = result("dX of linear", test.poisoned(ops.computeType(), sequences.rows(), HIDDEN));
        Calls.linearBackward(ops, dX, test.activation(rows("dLinear", sequences, seeds, group.outFeatures())), x, group.weights(), inner, dropoutKey);
    }

    private RandomGroup group(float dropout) {
        return new RandomGroup(test, new Random(3), HIDDEN, List.of(new RandomGroup.Layer(129, WeightKind.NF4_DOUBLE, 16, true, dropout, false),
                new RandomGroup.Layer(64, WeightKind.F32_TRAINED, 1, true, dropout, true), new RandomGroup.Layer(7, WeightKind.BF16, 0, true, 0, null)));
    }

    private void attention(Sequences sequences, int[] seeds) {
        Matrix angles = test.random(new Random(4), 400, 6);
        RopeTable table = new RopeTable(test.floats(angles.map(Math::cos).rounded(DType.F32)), test.floats(angles.map(Math::sin).rounded(DType.F32)));
        Tensor qkv = result("rotated", test.activation(rows("q", sequences, seeds, HEADS.qkvColumns()))), positions = test.ids(sequences.positions());
        Calls.rope(ops, qkv, HEADS, table, positions);
        Tensor logSumExp = result("logSumExp", test.poisoned(DType.F32, sequences.rows(), 4));
        Tensor y = made("attended", ops.attention(qkv, HEADS, sequences, logSumExp));
        Tensor dQkv = result("dQkv", test.poisoned(ops.computeType(), sequences.rows(), HEADS.qkvColumns()));
        ops.attentionBackward(dQkv, test.activation(rows("dAttended", sequences, seeds, HEADS.queryColumns())), qkv, y, logSumExp, HEADS, sequences);
        Tensor back = result("rotated back", test.activation(rows("q", sequences, seeds, HEADS.qkvColumns())));
        Calls.ropeBackward(ops, back, HEADS, table, positions);
        int count = sequences.count(), maxLength = sequences.maxLength();
        Tensor keys = test.poisoned(ops.computeType(), (long) count * maxLength, HEADS.keyColumns());
        Tensor values = test.poisoned(ops.computeType(), (long) count * maxLength, HEADS.keyColumns());
        made("cached", ops.cachedAttention(qkv, HEADS, sequences, new KvCache(List.of(keys), List.of(values), maxLength), 0));
    }

    /** The results that sum over tokens, and large elementwise ones that are split between threads. */
    public Map<String, float[]> sums() {
        int rows = 90;
        Random random = new Random(5);
        Tensor x = test.activation(test.random(random, rows, HIDDEN));
        RandomGroup group = group(0.1f);
        Tensor inner = test.poisoned(ops.computeType(), rows, group.innerColumns()), dY = test.activation(test.random(random, rows, group.outFeatures()));
        test.keep(Calls.linear(ops, x, group.weights(), inner, 77));
        Calls.linearBackward(ops, null, dY, x, group.weights(), inner, 77);
        List<Parameter> trained = new ArrayList<>(group.trained());

        Tensor dX = test.activation(test.random(random, rows, HIDDEN));
        for (Norm norm : List.of(new Norm.Rms(trained("rms norm", random), 1, 1e-5f), new Norm.Layer(trained("layer norm", random), trained("bias", random), 1e-5f))) {
            Tensor statistics = test.poisoned(DType.F32, norm.statistics(rows).toArray());
            test.keep(Calls.norm(ops, x, norm, statistics));
            Calls.normBackward(ops, dX, dX, x, norm, statistics);
            trained.addAll(norm.parameters());
        }

        Parameter table = test.trained("table", Matrix.random(random, VOCAB, HIDDEN).rounded(DType.F32), Matrix.zeros(VOCAB, HIDDEN), VOCAB, HIDDEN);
        ops.embeddingBackward(table.gradient(), dX, test.ids(random.ints(rows, 0, VOCAB).toArray()), 0, 8.0625f);
        Tensor lossSum = test.keep(ops.zeros(DType.F64, 1)), gradientNorm = test.keep(ops.zeros(DType.F64, 1));
        Tensor dHidden = test.poisoned(ops.computeType(), rows, HIDDEN);
        Calls.headLoss(ops, x, new LinearWeights(new Weight.Dense(table), null, null), random.ints(rows, 0, VOCAB).toArray(), 0.01, lossSum, dHidden);
        trained.add(table);

        Parameter large = test.trained("large", test.random(random, 1, 140_000), test.random(random, 1, 140_000), 140_000);
        trained.add(large);
        ops.gradientNorm(trained, gradientNorm);
        List<AdamWState> states = trained.stream().map(p -> new AdamWState(p, zerosLike(p), zerosLike(p))).toList();
        ops.adamW(states, new AdamWStep(1, 1e-3, 0.9, 0.999, 1e-8, 0.01, 0.3), gradientNorm);

        Map<String, float[]> byName = new LinkedHashMap<>();
        for (AdamWState state : states) {
            byName.put("gradient of " + state.parameter().name() + byName.size(), test.values(state.parameter().gradient()));
            byName.put("stepped " + state.parameter().name() + byName.size(), test.values(state.parameter().value()));
        }
        byName.put("loss", bits(test.number(lossSum)));
        byName.put("norm", bits(test.number(gradientNorm)));
        byName.put("dX of head", test.values(dHidden));
        ops.addInPlace(large.value(), large.gradient());
        byName.put("large sum", test.values(large.value()));
        return byName;
    }

    private Parameter trained(String name, Random random) {
        return test.trained(name, Matrix.random(random, 1, HIDDEN).rounded(DType.F32), Matrix.zeros(1, HIDDEN), HIDDEN);
    }

    private Tensor zerosLike(Parameter parameter) {
        return test.keep(ops.zeros(DType.F32, parameter.value().shape().toArray()));
    }

    private static float[] bits(double value) {
        long bits = Double.doubleToRawLongBits(value);
        return new float[] {Float.intBitsToFloat((int) bits), Float.intBitsToFloat((int) (bits >>> 32))};
    }

    public static void assertSame(String what, Map<String, float[]> actual, Map<String, float[]> expected) {
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((name, values) -> assertSameBits(name + " " + what, actual.get(name), values));
    }

    /** @param from the row of {@code actual} that is the first of {@code expected} */
    public static void assertSameRows(String what, Map<String, Matrix> actual, Map<String, Matrix> expected, int from) {
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((name, rows) -> assertSameBits(name + " " + what, actual.get(name).rows(from, rows.rows()).toFloats(), rows.toFloats()));
    }
}
