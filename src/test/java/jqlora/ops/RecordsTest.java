package jqlora.ops;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.Test;

/** The arguments of operations: what they compute, refuse and close. */
class RecordsTest {
    private final List<String> closed = new ArrayList<>();

    private record Handle(DType dtype, Shape shape, String name, List<String> closed) implements Tensor {
        @Override
        public void close() {
            closed.add(name);
        }
    }

    private Tensor tensor(String name, long... dims) {
        return new Handle(DType.F32, Shape.of(dims), name, closed);
    }

    private Parameter parameter(String name, long... dims) {
        return Parameter.frozen(name, tensor(name, dims));
    }

    @Test
    void parameter() {
        assertFalse(parameter("w", 2, 3).isTrained());
        Parameter trained = new Parameter("w", tensor("value", 2, 3), tensor("gradient", 2, 3));
        assertTrue(trained.isTrained());
        trained.close();
        parameter("frozen", 1).close();
        assertEquals(List.of("value", "gradient", "frozen"), closed);
        assertFails(ShapeException.class, () -> new Parameter("lm_head.weight", tensor("v", 2, 3), tensor("g", 3, 2)),
                "lm_head.weight: gradient has shape [3, 2], it must be [2, 3]");
    }

    @Test
    void denseWeight() {
        Weight weight = new Weight.Dense(new Parameter("w", tensor("value", 5, 3), tensor("gradient", 5, 3)));
        assertEquals(5, weight.outFeatures());
        assertEquals(3, weight.inFeatures());
        assertEquals(60, weight.byteSize(), "the gradient is not counted");
        weight.close();
        assertEquals(List.of("value", "gradient"), closed);
        assertFails(ShapeException.class, () -> new Weight.Dense(parameter("conv", 2, 3, 4)), "conv has shape [2, 3, 4], it must be [outFeatures, inFeatures]");
    }

    @Test
    void fourBitWeight() {
        FourBitFormat format = FourBitFormat.defaults();
        Weight nested = new Weight.FourBit(format, Shape.of(64, 64), tensor("codes", 2048), tensor("absmax", 64), tensor("nested", 1), 0.5f);
        assertEquals(4 * (2048 + 64 + 1), nested.byteSize());
        nested.close();
        new Weight.FourBit(format.withDoubleQuantization(false), Shape.of(64, 64), tensor("codes", 2048), tensor("absmax", 64), null, 0).close();
        assertEquals(List.of("codes", "absmax", "nested", "codes", "absmax"), closed);
        assertFails(ShapeException.class, () -> new Weight.FourBit(format, Shape.of(64), tensor("c"), tensor("a"), null, 0),
                "4-bit weight has shape [64], it must be [outFeatures, inFeatures]");
    }

    @Test
    void loraFactors() {
        assertEquals(4, new LoraFactors(parameter("a", 4, 7), parameter("b", 5, 4), 1, 0, 0).r());
        assertFails(ShapeException.class, () -> new LoraFactors(parameter("lora_A", 4, 7), parameter("lora_B", 5, 3), 1, 0, 0),
                "LoRA: lora_A has shape [4, 7] and lora_B has shape [5, 3]", "[r, inFeatures] and [outFeatures, r]");
        assertFails(ShapeException.class, () -> new LoraFactors(parameter("lora_A", 4), parameter("lora_B", 5, 4), 1, 0, 0), "lora_A has shape [4]");
        for (float dropout : new float[] {-0.1f, 1, Float.NaN}) {
            assertFails(IllegalArgumentException.class, () -> new LoraFactors(parameter("a", 4, 7), parameter("b", 5, 4), 1, dropout, 0),
                    "LoRA: dropout is " + dropout + ", it must be in [0, 1)");
        }
    }

    @Test
    void linearWeights() {
        Weight weight = new Weight.Dense(parameter("weight", 5, 7));
        new LinearWeights(weight, parameter("bias", 5), new LoraFactors(parameter("a", 4, 7), parameter("b", 5, 4), 1, 0, 0));
        assertFails(ShapeException.class, () -> new LinearWeights(weight, parameter("q_proj.bias", 7), null), "q_proj.bias has shape [7], it must be [5]");
        assertFails(ShapeException.class, () -> new LinearWeights(weight, null, new LoraFactors(parameter("lora_A", 4, 6), parameter("b", 5, 4), 1, 0, 0)),
                "lora_A has shape [4, 6], it must be [4, 7]");
        assertFails(ShapeException.class, () -> new LinearWeights(weight, null, new LoraFactors(parameter("a", 4, 7), parameter("lora_B", 6, 4), 1, 0, 0)),
                "lora_B has shape [6, 4], it must be [5, 4]");
    }

    @Test
    void attentionShape() {
        AttentionShape shape = new AttentionShape(9, 3, 64, 0, 0.125f);
        assertEquals(576, shape.queryColumns());
        assertEquals(192, shape.keyColumns());
        assertEquals(960, shape.qkvColumns());
        assertFails(IllegalArgumentException.class, () -> new AttentionShape(9, 4, 64, 0, 1), "numAttentionHeads is 9", "numKeyValueHeads is 4", "multiple");
        assertFails(IllegalArgumentException.class, () -> new AttentionShape(0, 1, 64, 0, 1), "numAttentionHeads is 0");
        assertFails(IllegalArgumentException.class, () -> new AttentionShape(4, 0, 64, 0, 1), "numKeyValueHeads is 0");
        assertFails(IllegalArgumentException.class, () -> new AttentionShape(4, 2, 0, 0, 1), "headDim is 0", "at least 1");
        assertFails(IllegalArgumentException.class, () -> new AttentionShape(4, 2, 64, -1, 1), "slidingWindow is -1", "at least 0");
    }

    @Test
    void sequences() {
        Sequences sequences = Sequences.continuing(new int[] {2, 3, 1}, new int[] {4, 0, 7});
        assertEquals(3, sequences.count());
        assertEquals(6, sequences.rows());
        assertEquals(2, sequences.start(1));
        assertEquals(6, sequences.start(3));
        assertEquals(3, sequences.length(1));
        assertEquals(7, sequences.past(2));
        assertEquals(8, sequences.maxLength());
        assertArrayEquals(new int[] {4, 5, 0, 1, 2, 7}, sequences.positions());
        assertEquals("3 sequences, 6 tokens", sequences.toString());
        assertEquals(Sequences.ofLengths(2, 3), Sequences.continuing(new int[] {2, 3}, new int[] {0, 0}));
        assertEquals(Sequences.ofLengths(2, 3).hashCode(), Sequences.ofLengths(2, 3).hashCode());
        assertNotEquals(Sequences.ofLengths(2, 3), Sequences.ofLengths(3, 2));
        assertNotEquals(Sequences.ofLengths(2), Sequences.continuing(new int[] {2}, new int[] {1}));
    }

    @Test
    void sequencesAreNotEmpty() {
        assertFails(IllegalArgumentException.class, Sequences::ofLengths, "0 lengths", "at least one");
        assertFails(IllegalArgumentException.class, () -> Sequences.ofLengths(3, 0), "sequence 1 has length 0", "at least 1");
        assertFails(IllegalArgumentException.class, () -> Sequences.continuing(new int[] {3}, new int[] {-1}), "sequence 0", "-1 tokens before it", "at least 0");
        assertFails(IllegalArgumentException.class, () -> Sequences.continuing(new int[] {3}, new int[2]), "1 lengths and 2 past lengths", "equally many");
        assertFails(ArithmeticException.class, () -> Sequences.ofLengths(Integer.MAX_VALUE, 1));
    }

    @Test
    void ropeTable() {
        RopeTable table = new RopeTable(tensor("cos", 10, 3), tensor("sin", 10, 3));
        assertEquals(10, table.positions());
        table.close();
        assertEquals(List.of("cos", "sin"), closed);
        assertFails(ShapeException.class, () -> new RopeTable(tensor("cos", 10, 3), tensor("sin", 10, 4)), "rope: sin has shape [10, 4], it must be [10, 3]");
        assertFails(ShapeException.class, () -> new RopeTable(tensor("cos", 10), tensor("sin", 10)), "rope: cos has shape [10], it must be [positions, rotaryDim / 2]");
    }

    @Test
    void keyValueCache() {
        new KvCache(List.of(tensor("k0"), tensor("k1")), List.of(tensor("v0"), tensor("v1")), 5).close();
        assertEquals(List.of("k0", "k1", "v0", "v1"), closed);
        assertFails(IllegalArgumentException.class, () -> new KvCache(List.of(tensor("k")), List.of(), 5), "1 key and 0 value tensors", "one each a layer");
    }

    @Test
    void adamW() {
        new AdamWState(parameter("p", 1), tensor("m", 1), tensor("v", 1)).close();
        assertEquals(List.of("m", "v"), closed, "the parameter is the model's");
        assertFails(IllegalArgumentException.class, () -> new AdamWStep(0, 1, 0.9, 0.999, 1e-8, 0, 0), "AdamW: step is 0", "at least 1");
    }
}
