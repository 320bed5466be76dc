package jqlora.ops.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import jqlora.ops.Sampler;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What becomes a graph and what does not; the results are those of {@link jqlora.ops.NextTokensTest}. */
@Tag("gpu")
class CudaRepetitionTest {
    private static CudaOps ops;

    @BeforeAll
    static void open() {
        ops = CudaOps.open(Gpu.options());
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all is closed");
        ops.close();
    }

    private static Tensor logits() {
        MemorySegment bits = MemorySegment.ofArray(new byte[2 * 16]);
        bits.set(TensorView.SHORT, 2 * 11, (short) 0x3f80);
        return ops.upload(new TensorView(DType.BF16, Shape.of(1, 16), bits));
    }

    @Test
    void deviceWorkBecomesAGraph() {
        try (Tensor logits = logits(); Tensor ids = ops.upload(new int[] {0}); Tensor positions = ops.upload(new int[] {0});
                CudaRepetition repetition = (CudaRepetition) ops.repeat(9, positions, () -> ops.nextTokens(ids, positions, logits, new Sampler.Greedy(), null))) {
            for (int i = 1; i <= 9; i++) {
                assertArrayEquals(new int[] {i}, repetition.next());
                assertTrue(repetition.isRecorded(), "the second time is begun with the first");
            }
            assertArrayEquals(new int[] {11}, ops.download(ids).toInts());
        }
    }

    @Test
    void whatTheHostTakesPartInDoesNot() {
        int[] calls = {0};
        try (Tensor number = ops.upload(new int[] {0}); CudaRepetition repetition = (CudaRepetition) ops.repeat(5, number, () -> {
            try (Tensor next = ops.upload(new int[] {++calls[0]})) {
                ops.copyInto(number, next);
            }
        })) {
            for (int i = 1; i <= 5; i++) {
                assertArrayEquals(new int[] {i}, repetition.next());
                assertFalse(repetition.isRecorded());
            }
        }
    }
}
