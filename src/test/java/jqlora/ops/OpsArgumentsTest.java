package jqlora.ops;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.util.List;
import jqlora.quant.FourBitFormat;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.MethodSource;

/** What operations say when they are given the wrong thing. Afterwards nothing is left open that the test did not make. */
@ParameterizedClass
@MethodSource("jqlora.ops.TestOps#backends")
class OpsArgumentsTest {
    private static final AttentionShape HEADS = new AttentionShape(4, 2, 6, 0, 1);      // 48 columns: 24 + 12 + 12
    private final TestOps test;
    private final Ops ops;

    OpsArgumentsTest(TestOps test) {
        this.test = test;
        this.ops = test.ops();
    }

    /** Every backend calls the same checks; here they see float32 activations. */
    @BeforeEach
    void nothingIsOpen() throws Exception {
        assumeTrue(ops.computeType() == DType.F32, "the tensors of this test are float32");
        test.finish();
    }

    @AfterEach
    void finish() throws Exception {
        test.finish();
    }

    private Tensor floats(long... dims) {
        return test.keep(ops.zeros(DType.F32, dims));
    }

    private Tensor tensor(DType dtype, long... dims) {
        return test.keep(ops.zeros(dtype, dims));
    }

    private Parameter frozen(String name, long... dims) {
        return Parameter.frozen(name, floats(dims));
    }

    private static void shape(Executable action, String message) {
        assertFails(ShapeException.class, action, message);
    }

    private static void argument(Executable action, String message) {
        assertFails(IllegalArgumentException.class, action, message);
    }

    @Test
    void copiesAndSums() {
        shape(() -> ops.copyInto(floats(2, 3), floats(3, 2)), "copyInto: source has shape [3, 2], it must be [2, 3]");
        argument(() -> ops.copyInto(floats(2), tensor(DType.BF16, 2)), "copyInto: source is BF16, it must be F32 like the target");
        shape(() -> ops.addInPlace(floats(2), floats(1)), "add: y has shape [1], it must be [2]");
        argument(() -> ops.addInPlace(floats(2), tensor(DType.I32, 2)), "add: y is I32, it must be F32 like x");
        argument(() -> ops.addInPlace(tensor(DType.I32, 2), tensor(DType.I32, 2)), "add: x is I32, it must be " + ops.computeType() + " or F32");
    }

    @Test
    void fourBitWeightsAreMatrices() {
        QuantizedTensor cube = new PlainFourBitCodec().quantize(TensorView.ofFloats(new float[64], 4, 4, 4), FourBitFormat.defaults(), Arena.ofAuto());
        shape(() -> ops.quantize(TensorView.ofFloats(new float[64], 64), FourBitFormat.defaults()), "quantize: host has shape [64], it must be [outFeatures, inFeatures]");
        TensorView numbers = new TensorView(DType.I32, jqlora.tensor.Shape.of(1, 1), java.lang.foreign.MemorySegment.ofArray(new byte[4]));
        argument(() -> ops.quantize(numbers, FourBitFormat.defaults()), "quantize: host is I32, it must be F32, F16 or BF16");
        shape(() -> ops.upload(cube), "4-bit weight has shape [4, 4, 4], it must be [outFeatures, inFeatures]");
    }

    @Test
    void embedding() {
        argument(() -> ops.embedding(floats(5, 2), test.ids(0, 4, 5)), "embedding: token id 5 at row 2 must be in [0, 5)");
        argument(() -> ops.embedding(floats(5, 2), test.ids(-1)), "embedding: token id -1 at row 0 must be in [0, 5)");
        shape(() -> ops.embedding(floats(5), test.ids(1)), "embedding: table has shape [5], it must be [vocab, hidden]");
        argument(() -> ops.embedding(floats(5, 2), floats(3)), "embedding: ids is F32, it must be I32");
        shape(() -> ops.embedding(floats(5, 2), tensor(DType.I32, 3, 1)), "embedding: ids has shape [3, 1], it must be [3]");
        argument(() -> ops.embeddingBackward(floats(5, 2), floats(1, 2), test.ids(7), 0, 1), "embeddingBackward: token id 7 at row 0 must be in [0, 5)");
        shape(() -> ops.embeddingBackward(floats(5, 2), floats(2, 2), test.ids(1), 0, 1), "embeddingBackward: dY has shape [2, 2], it must be [1, 2]");
        argument(() -> ops.embeddingBackward(tensor(DType.BF16, 5, 2), floats(1, 2), test.ids(1), 0, 1), "embeddingBackward: dTable is BF16, it must be F32");
        shape(() -> ops.embeddingBackward(floats(10), floats(1, 2), test.ids(1), 0, 1), "embeddingBackward: dTable has shape [10], it must be [vocab, hidden]");
    }

    @Test
    void norm() {
        Tensor x = floats(3, 4), rstd = floats(3), both = floats(3, 2);
        Norm rms = new Norm.Rms(frozen("norm.weight", 4), 0, 1), layer = new Norm.Layer(frozen("norm.weight", 4), frozen("norm.bias", 4), 1);
        shape(() -> Calls.norm(ops, floats(4), rms, rstd), "compute: x has shape [4], it must be [rows, columns]");
        shape(() -> Calls.norm(ops, x, new Norm.Rms(frozen("norm.weight", 5), 0, 1), rstd), "compute: norm.weight has shape [5], it must be [4]");
        shape(() -> Calls.norm(ops, x, new Norm.Layer(frozen("norm.weight", 4), frozen("norm.bias", 3), 1), both), "compute: norm.bias has shape [3], it must be [4]");
        shape(() -> Calls.norm(ops, x, rms, floats(4)), "compute: statistics has shape [4], it must be [3]");
        shape(() -> Calls.norm(ops, x, layer, rstd), "compute: statistics has shape [3], it must be [3, 2]");
        argument(() -> Calls.norm(ops, x, rms, tensor(DType.F64, 3)), "compute: statistics is F64, it must be F32");
        shape(() -> Calls.normBackward(ops, floats(3, 5), x, x, rms, rstd), "computeBackward: dX has shape [3, 5], it must be [3, 4]");
        shape(() -> Calls.normBackward(ops, x, floats(4, 4), x, layer, both), "computeBackward: dY has shape [4, 4], it must be [3, 4]");
        shape(() -> Calls.normBackward(ops, x, x, x, new Norm.Layer(frozen("w", 3), null, 1), both), "computeBackward: w has shape [3], it must be [4]");
    }

    @Test
    void headNorm() {
        Tensor qkv = floats(3, 48), rstd = floats(3, 6);
        Parameter weight = frozen("q_norm.weight", 6);
        shape(() -> Calls.headNorm(ops, floats(3, 47), HEADS, weight, weight, 1, rstd), "heads: qkv has shape [3, 47], it must be [rows, 48]");
        shape(() -> Calls.headNorm(ops, qkv, HEADS, frozen("q_norm.weight", 4), weight, 1, rstd), "heads: query norm has shape [4], it must be [6]");
        shape(() -> Calls.headNorm(ops, qkv, HEADS, weight, frozen("k_norm.weight", 24), 1, rstd), "heads: key norm has shape [24], it must be [6]");
        shape(() -> Calls.headNorm(ops, qkv, HEADS, weight, weight, 1, floats(3, 4)), "heads: rstd has shape [3, 4], it must be [3, 6]");
        shape(() -> Calls.headNormBackward(ops, floats(2, 48), qkv, HEADS, weight, weight, rstd), "headsBackward: rstd has shape [3, 6], it must be [2, 6]");
        shape(() -> Calls.headNormBackward(ops, qkv, qkv, HEADS, weight, weight, floats(3)), "headsBackward: rstd has shape [3], it must be [3, 6]");
    }

    @Test
    void linear() {
        LinearWeights plain = new LinearWeights(new Weight.Dense(frozen("weight", 5, 4)), null, null);
        LoraFactors lora = new LoraFactors(frozen("lora_A", 2, 4), frozen("lora_B", 5, 2), 1, 0, 0);
        LinearWeights adapted = new LinearWeights(plain.weight(), null, lora);
        Tensor x = floats(3, 4), dY = floats(3, 5);
        argument(() -> Calls.linear(ops, x, List.of(), null, 0), "linear: the group has no layers, it must have at least one");
        shape(() -> Calls.linear(ops, floats(3, 5), List.of(plain), null, 0), "linear: the layers read 5 columns, it must be their 4 input features; x has shape [3, 5]");
        argument(() -> Calls.linear(ops, x, List.of(plain, adapted), null, 0), "linear: inner is null, it must be [3, 2] since a layer has an adapter");
        shape(() -> Calls.linear(ops, x, List.of(adapted, adapted), floats(3, 2), 0), "linear: inner has shape [3, 2], it must be [3, 4]");
        argument(() -> Calls.linear(ops, x, List.of(adapted), tensor(DType.BF16, 3, 2), 0), "linear: inner is BF16, it must be F32");
        shape(() -> Calls.linearAdd(ops, floats(3, 4), x, List.of(plain), null, 0), "linear: added has shape [3, 4], it must be [3, 5]");
        argument(() -> Calls.linearAdd(ops, tensor(DType.BF16, 3, 5), x, List.of(plain), null, 0), "linear: added is BF16, it must be F32 like x");
        shape(() -> Calls.linearBackward(ops, null, floats(3, 4), x, List.of(plain), null, 0), "linearBackward: dY has shape [3, 4], it must be [3, 5]");
        shape(() -> Calls.linearBackward(ops, floats(4, 3), dY, x, List.of(plain), null, 0), "linearBackward: dX has shape [4, 3], it must be [3, 4]");
        argument(() -> Calls.linearBackward(ops, null, dY, x, List.of(adapted), null, 0), "linearBackward: inner is null");
        shape(() -> Calls.linearBackward(ops, null, dY, floats(3, 1), List.of(plain), null, 0), "linearBackward: the layers read 1 columns, it must be their 4 input features; x has shape [3, 1]");
    }

    @Test
    void rope() {
        Tensor qkv = floats(3, 48);
        RopeTable table = new RopeTable(floats(10, 3), floats(10, 3));
        argument(() -> Calls.rope(ops, qkv, HEADS, table, test.ids(0, 9, 10)), "rope: position 10 of row 2 must be in [0, 10)");
        argument(() -> Calls.rope(ops, qkv, HEADS, table, test.ids(0, -1, 3)), "rope: position -1 of row 1 must be in [0, 10)");
        shape(() -> Calls.rope(ops, qkv, HEADS, table, test.ids(0, 1)), "heads: positions has shape [2], it must be [3]");
        shape(() -> Calls.rope(ops, floats(3, 24), HEADS, table, test.ids(0, 1, 2)), "heads: qkv has shape [3, 24], it must be [rows, 48]");
        RopeTable wide = new RopeTable(floats(10, 4), floats(10, 4));
        shape(() -> Calls.ropeBackward(ops, qkv, HEADS, wide, test.ids(0, 1, 2)), "headsBackward: cos has shape [10, 4], it must be [positions, 3 or less]");
    }

    @Test
    void attention() {
        Sequences sequences = Sequences.ofLengths(2, 3);
        Tensor qkv = floats(5, 48), y = floats(5, 24), logSumExp = floats(5, 4);
        shape(() -> ops.attention(floats(4, 48), HEADS, sequences, null), "attention: qkv has shape [4, 48], it must be [5, 48]");
        shape(() -> ops.attention(qkv, HEADS, sequences, floats(5)), "attention: logSumExp has shape [5], it must be [5, 4]");
        shape(() -> ops.attentionBackward(floats(5, 24), y, qkv, y, logSumExp, HEADS, sequences), "attentionBackward: dQkv has shape [5, 24], it must be [5, 48]");
        shape(() -> ops.attentionBackward(qkv, qkv, qkv, y, logSumExp, HEADS, sequences), "attentionBackward: dY has shape [5, 48], it must be [5, 24]");
        shape(() -> ops.attentionBackward(qkv, y, qkv, floats(6, 24), logSumExp, HEADS, sequences), "attentionBackward: y has shape [6, 24], it must be [5, 24]");
        shape(() -> ops.attentionBackward(qkv, y, qkv, y, floats(5, 2), HEADS, sequences), "attentionBackward: logSumExp has shape [5, 2], it must be [5, 4]");
    }

    @Test
    void cachedAttention() {
        Tensor qkv = floats(3, 48), cached = floats(20, 12);
        KvCache cache = new KvCache(List.of(cached), List.of(cached), 10);
        argument(() -> ops.cachedAttention(qkv, HEADS, Sequences.continuing(new int[] {1, 2}, new int[] {0, 9}), cache, 0),
                "cachedAttention: sequence 1 has 11 tokens, the cache was made for at most 10");
        Sequences sequences = Sequences.continuing(new int[] {1, 2}, new int[] {0, 8});
        argument(() -> ops.cachedAttention(qkv, HEADS, sequences, cache, 1), "cachedAttention: layer 1, the cache has layers 0 to 0");
        KvCache small = new KvCache(List.of(floats(19, 12)), List.of(cached), 10);
        shape(() -> ops.cachedAttention(qkv, HEADS, sequences, small, 0), "cachedAttention: keys has shape [19, 12], it must be [20 or more, 12]");
        KvCache narrow = new KvCache(List.of(cached), List.of(floats(20, 11)), 10);
        shape(() -> ops.cachedAttention(qkv, HEADS, sequences, narrow, 0), "cachedAttention: values has shape [20, 11], it must be [20 or more, 12]");
        shape(() -> ops.cachedAttention(floats(2, 48), HEADS, sequences, cache, 0), "cachedAttention: qkv has shape [2, 48], it must be [3, 48]");
    }

    @Test
    void cachedAttentionOfOneTokenEach() {
        Tensor qkv = floats(2, 48), cached = floats(20, 12), positions = test.ids(3, 4);
        KvCache cache = new KvCache(List.of(cached), List.of(cached), 10);
        shape(() -> ops.cachedAttention(floats(2, 47), HEADS, positions, cache, 0), "cachedAttention: qkv has shape [2, 47], it must be [rows, 48]");
        shape(() -> ops.cachedAttention(qkv, HEADS, test.ids(1), cache, 0), "cachedAttention: positions has shape [1], it must be [2]");
        argument(() -> ops.cachedAttention(qkv, HEADS, floats(2), cache, 0), "cachedAttention: positions is F32, it must be I32");
        argument(() -> ops.cachedAttention(qkv, HEADS, positions, cache, 1), "cachedAttention: layer 1, the cache has layers 0 to 0");
        KvCache small = new KvCache(List.of(floats(19, 12)), List.of(cached), 10);
        shape(() -> ops.cachedAttention(qkv, HEADS, positions, small, 0), "cachedAttention: keys has shape [19, 12], it must be [20 or more, 12]");
    }

    @Test
    void nextTokens() {
        Tensor ids = test.ids(0, 0), positions = test.ids(3, 4), logits = floats(2, 5);
        Sampler greedy = new Sampler.Greedy(), random = new Sampler.Random(1, 0, 1);
        shape(() -> ops.nextTokens(ids, positions, floats(5), greedy, null), "nextTokens: logits has shape [5], it must be [sequences, vocab]");
        shape(() -> ops.nextTokens(test.ids(0), positions, logits, greedy, null), "nextTokens: ids has shape [1], it must be [2]");
        argument(() -> ops.nextTokens(ids, floats(2), logits, greedy, null), "nextTokens: positions is F32, it must be I32");
        argument(() -> ops.nextTokens(ids, positions, logits, random, null), "nextTokens: uniform is null, " + random + " needs random numbers");
        shape(() -> ops.nextTokens(ids, positions, logits, random, tensor(DType.F64, 9)), "nextTokens: uniform is F64 [9], it must be F64 [2, positions]");
        shape(() -> ops.nextTokens(ids, positions, logits, random, floats(2, 9)), "nextTokens: uniform is F32 [2, 9], it must be F64 [2, positions]");
    }

    @Test
    void gatedActivation() {
        shape(() -> Calls.gatedActivation(ops, floats(2, 7), Activation.SILU), "compute: x has shape [2, 7], it must be [rows, 2 intermediate]");
        Tensor gateUp = floats(2, 8);
        shape(() -> Calls.gatedActivationBackward(ops, floats(2, 4), floats(2, 4), gateUp, Activation.SILU), "computeBackward: dX has shape [2, 4], it must be [2, 8]");
        shape(() -> Calls.gatedActivationBackward(ops, gateUp, gateUp, gateUp, Activation.SILU), "computeBackward: dY has shape [2, 8], it must be [2, 4]");
    }

    @Test
    void backwardOfALayerAndWhatFeedsIt() {
        LinearWeights layer = new LinearWeights(new Weight.Dense(frozen("weight", 5, 4)), null, null);
        Tensor x = floats(3, 4), dY = floats(3, 5), rstd = floats(3), gateUp = floats(3, 8);
        Norm norm = new Norm.Rms(frozen("norm.weight", 4), 0, 1);
        shape(() -> Calls.normedLinearBackward(ops, floats(3, 5), dY, x, norm, rstd, List.of(layer), null, 0), "linearBackward: dX has shape [3, 5], it must be [3, 4]");
        shape(() -> Calls.normedLinearBackward(ops, x, dY, x, norm, floats(4), List.of(layer), null, 0), "linearBackward: statistics has shape [4], it must be [3]");
        shape(() -> Calls.normedLinearBackward(ops, x, x, x, norm, rstd, List.of(layer), null, 0), "linearBackward: dY has shape [3, 4], it must be [3, 5]");
        shape(() -> Calls.gatedLinearBackward(ops, x, dY, gateUp, Activation.SILU, List.of(layer), null, 0), "linearBackward: dX has shape [3, 4], it must be [3, 8]");
        shape(() -> Calls.gatedLinearBackward(ops, gateUp, x, gateUp, Activation.SILU, List.of(layer), null, 0), "linearBackward: dY has shape [3, 4], it must be [3, 5]");
        Tensor wide = floats(3, 10);
        shape(() -> Calls.gatedLinearBackward(ops, wide, dY, wide, Activation.SILU, List.of(layer), null, 0), "linearBackward: the layers read 5 columns, it must be their 4 input features; x has shape [3, 10]");
    }

    @Test
    void headLoss() {
        LinearWeights head = new LinearWeights(new Weight.Dense(frozen("lm_head.weight", 5, 4)), null, null);
        Tensor x = floats(2, 4), lossSum = tensor(DType.F64, 1);
        shape(() -> Calls.headLoss(ops, floats(2, 3), head, new int[2], 1, lossSum, null), "headLoss: x has shape [2, 3], it must be [rows, 4]");
        shape(() -> Calls.headLoss(ops, x, head, new int[3], 1, lossSum, null), "headLoss: 3 targets, there must be one for each of the 2 rows");
        argument(() -> Calls.headLoss(ops, x, head, new int[] {-100, 5}, 1, lossSum, null), "headLoss: target of row 1 is 5, it must be in [0, 5) or -100");
        argument(() -> Calls.headLoss(ops, x, head, new int[] {-1, 0}, 1, lossSum, null), "headLoss: target of row 0 is -1, it must be in [0, 5) or -100");
        argument(() -> Calls.headLoss(ops, x, head, new int[2], 1, floats(1), null), "headLoss: lossSum is F32, it must be F64");
        shape(() -> Calls.headLoss(ops, x, head, new int[2], 1, lossSum, floats(1, 4)), "headLoss: dX has shape [1, 4], it must be [2, 4]");
    }

    @Test
    void optimizer() {
        Parameter frozen = frozen("model.norm.weight", 3), trained = new Parameter("lora_A", floats(3), floats(3));
        Tensor norm = tensor(DType.F64, 1);
        argument(() -> ops.gradientNorm(List.of(trained, frozen), norm), "gradientNorm: model.norm.weight is frozen, it must have a gradient");
        argument(() -> ops.gradientNorm(List.of(trained), floats(1)), "gradientNorm: norm is F32, it must be F64");
        argument(() -> ops.zeroGradients(List.of(frozen)), "zeroGradients: model.norm.weight is frozen, it must have a gradient");
        AdamWStep step = new AdamWStep(1, 1, 0.9, 0.999, 1e-8, 0, 0);
        argument(() -> ops.adamW(List.of(new AdamWState(frozen, floats(3), floats(3))), step, norm), "adamW: model.norm.weight is frozen, it must have a gradient");
        Parameter half = new Parameter("half", tensor(DType.BF16, 3), floats(3));
        argument(() -> ops.adamW(List.of(new AdamWState(half, floats(3), floats(3))), step, norm), "adamW: half is BF16, a trained parameter must be F32");
        shape(() -> ops.adamW(List.of(new AdamWState(trained, floats(4), floats(3))), step, norm), "adamW: first moment of lora_A has shape [4], it must be [3]");
        shape(() -> ops.adamW(List.of(new AdamWState(trained, floats(3), floats(2))), step, norm), "adamW: second moment of lora_A has shape [2], it must be [3]");
        shape(() -> ops.adamW(List.of(), step, tensor(DType.F64, 2)), "adamW: norm has shape [2], it must be [1]");
        EightBitMoment moment = new EightBitMoment(tensor(DType.U8, 3), floats(1)), longer = new EightBitMoment(tensor(DType.U8, 4), floats(1)), blocks = new EightBitMoment(tensor(DType.U8, 3), floats(2));
        argument(() -> ops.adamW8bit(List.of(new AdamW8bitState(frozen, moment, moment)), step, norm), "adamW8bit: model.norm.weight is frozen, it must have a gradient");
        argument(() -> ops.adamW8bit(List.of(new AdamW8bitState(half, moment, moment)), step, norm), "adamW8bit: half is BF16, a trained parameter must be F32");
        shape(() -> ops.adamW8bit(List.of(new AdamW8bitState(trained, longer, moment)), step, norm), "adamW8bit: first moment of lora_A has shape [4], it must be [3]");
        shape(() -> ops.adamW8bit(List.of(new AdamW8bitState(trained, moment, blocks)), step, norm), "adamW8bit: second moment of lora_A: absmax has shape [2], it must be [1]");
        argument(() -> ops.adamW8bit(List.of(new AdamW8bitState(trained, moment, new EightBitMoment(floats(3), floats(1)))), step, norm), "adamW8bit: second moment of lora_A is F32, it must be U8");
        shape(() -> ops.adamW8bit(List.of(), step, tensor(DType.F64, 2)), "adamW8bit: norm has shape [2], it must be [1]");
    }

    @Test
    void merge() {
        Weight base = new Weight.Dense(frozen("w", 5, 4));
        LoraFactors wide = new LoraFactors(frozen("lora_A", 2, 3), frozen("lora_B", 5, 2), 1, 0, 0), tall = new LoraFactors(frozen("lora_A", 2, 4), frozen("lora_B", 6, 2), 1, 0, 0);
        MergedStorage numbers = new MergedStorage.Numbers(DType.F32);
        shape(() -> ops.merge("layer", base, wide, numbers), "merge: lora_A has shape [2, 3], it must be [2, 4]");
        shape(() -> ops.merge("layer", base, tall, numbers), "merge: lora_B has shape [6, 2], it must be [5, 2]");
        argument(() -> new MergedStorage.Numbers(DType.I32), "merge: dtype is I32, it must be F32, BF16 or F16");
    }
}
