package jqlora.ops.cuda;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import jqlora.ops.Calls;
import jqlora.ops.LinearWeights;
import jqlora.ops.Weight;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The budget, and what gives way to what. */
@Tag("gpu")
class CudaMemoryTest {
    private static final long BUDGET = 1L << 30;

    private static Tensor bytes(CudaOps ops, long bytes) {
        return ops.allocate(DType.U8, bytes);
    }

    @Test
    void beyondTheBudgetNothingIsTaken() {
        try (CudaOps ops = CudaOps.open(Gpu.options().withBudgetBytes(BUDGET)); Tensor half = bytes(ops, BUDGET / 2)) {
            assertFails(CudaException.class, () -> bytes(ops, BUDGET / 2), (BUDGET / 2) + " bytes are wanted on NVIDIA", half.byteSize() + " are in use by tensors",
                    "of a budget of " + BUDGET, "a smaller batch");
            bytes(ops, BUDGET / 4).close();
            assertEquals(half.byteSize() + BUDGET / 4, ops.memory().peakBytes());
            assertEquals(half.byteSize(), ops.memory().bytesInUse());
        }
    }

    @Test
    void freedMemoryIsUsedAgain() {
        try (CudaOps ops = CudaOps.open(Gpu.options().withBudgetBytes(BUDGET))) {
            Random random = new Random(1);
            List<Tensor> open = new ArrayList<>();
            for (int i = 0; i < 2000; i++) {
                if (open.size() > 20 || !open.isEmpty() && random.nextBoolean()) {
                    open.remove(random.nextInt(open.size())).close();
                } else {
                    open.add(bytes(ops, 1 + random.nextInt(20 << 20)));
                }
            }
            assertTrue(ops.memory().reservedBytes() < BUDGET, "taken: " + ops.memory().reservedBytes());
            open.forEach(Tensor::close);
            assertEquals(0, ops.memory().bytesInUse());
            bytes(ops, ops.memory().reservedBytes() / 2).close();
        }
    }

    /** Weights stay decoded while there is room; what needs the room gets it, and the results stay the same. */
    @Test
    void residentWeightsGiveWay() {
        float[] values = new float[2048 * 2048];
        Random random = new Random(2);
        for (int i = 0; i < values.length; i++) {
            values[i] = random.nextFloat() - 0.5f;
        }
        try (CudaOps ops = CudaOps.open(Gpu.options().withBudgetBytes(BUDGET)); Arena arena = Arena.ofConfined()) {
            List<Weight.FourBit> weights = new ArrayList<>();
            for (int i = 0; i < 12; i++) {
                weights.add(ops.quantize(TensorView.ofFloats(values, 2048, 2048), FourBitFormat.defaults()));
            }
            byte[] input = new byte[2 * 16 * 2048];
            random.nextBytes(input);
            for (int i = 1; i < input.length; i += 2) {
                input[i] = (byte) (0x3f | input[i] & 0x80);                // between 0.5 and 2
            }
            try (Tensor x = ops.upload(new TensorView(DType.BF16, Shape.of(16, 2048), arena.allocateFrom(java.lang.foreign.ValueLayout.JAVA_BYTE, input)))) {
                float[] expected = product(ops, x, weights.getFirst());
                for (int round = 0; round < 3; round++) {
                    for (Weight.FourBit weight : weights) {
                        assertArrayEquals(expected, product(ops, x, weight));
                    }
                }
                long taken = ops.memory().reservedBytes();
                try (Tensor large = bytes(ops, BUDGET - (512L << 20))) {
                    assertTrue(ops.memory().reservedBytes() <= BUDGET, "taken: " + ops.memory().reservedBytes() + ", before " + taken + ", with " + large);
                    for (Weight.FourBit weight : weights) {
                        assertArrayEquals(expected, product(ops, x, weight));
                    }
                }
            }
            weights.forEach(Weight::close);
        }
    }

    /** A group of which one weight is another one than before, as after a merge, is decoded anew. */
    @Test
    void aReplacedWeightIsNoticed() {
        float[] values = new float[64 * 64], others = new float[64 * 64], input = new float[64];
        Random random = new Random(3);
        for (int i = 0; i < values.length; i++) {
            values[i] = random.nextFloat() - 0.5f;
            others[i] = random.nextFloat() - 0.5f;
        }
        java.util.Arrays.fill(input, 1);
        java.lang.foreign.MemorySegment bits = java.lang.foreign.MemorySegment.ofArray(new byte[128]);
        jqlora.tensor.FloatConversion.fromFloats(input, 0, 64, DType.BF16, bits, 0);
        try (CudaOps ops = CudaOps.open(Gpu.options().withBudgetBytes(BUDGET)); Tensor x = ops.upload(new TensorView(DType.BF16, Shape.of(1, 64), bits));
                Weight.FourBit first = ops.quantize(TensorView.ofFloats(values, 64, 64), FourBitFormat.defaults());
                Weight.FourBit second = ops.quantize(TensorView.ofFloats(others, 64, 64), FourBitFormat.defaults())) {
            List<LinearWeights> before = List.of(plain(first), plain(first), plain(first)), after = List.of(plain(first), plain(second), plain(first));
            float[] alone = product(ops, x, second);
            for (int i = 0; i < 3; i++) {
                Calls.linear(ops, x, before, null, 0).close();
            }
            try (Tensor y = Calls.linear(ops, x, after, null, 0)) {
                assertArrayEquals(alone, java.util.Arrays.copyOfRange(ops.download(y).toFloats(), 64, 128), 1e-3f);
            }
        }
    }

    private static LinearWeights plain(Weight weight) {
        return new LinearWeights(weight, null, null);
    }

    private static float[] product(CudaOps ops, Tensor x, Weight weight) {
        try (Tensor y = Calls.linear(ops, x, List.of(new LinearWeights(weight, null, null)), null, 0)) {
            return ops.download(y).toFloats();
        }
    }

    /** What is moved to the host makes room for others, and is refused until it is fetched. */
    @Test
    void whatIsInTheHostsMemoryIsRefused() {
        try (CudaOps ops = CudaOps.open(Gpu.options().withBudgetBytes(BUDGET)); Tensor large = bytes(ops, BUDGET / 4 + 1)) {
            ops.fillZero(large);
            ops.offload(List.of(large));
            assertFails(IllegalArgumentException.class, () -> ops.download(large), "tensor U8 [" + large.byteSize() + "] is in the host's memory", "it must be fetched");
            ops.offload(List.of());
            assertEquals(0, ops.memory().bytesInUse());
            assertEquals(5 * (64L << 20), ops.memory().hostBytes());
            bytes(ops, BUDGET / 2).close();
            ops.fetch(List.of(large));
            assertEquals(0, ops.download(large).toInts()[1000]);
        }
    }

    @Test
    void aClosedTensorIsRefused() {
        try (CudaOps ops = CudaOps.open(Gpu.options().withBudgetBytes(BUDGET))) {
            Tensor tensor = ops.allocate(DType.F32, 3);
            tensor.close();
            tensor.close();
            assertFails(IllegalArgumentException.class, () -> ops.download(tensor), "tensor F32 [3] is closed");
        }
    }
}
