package jqlora.ops.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import jqlora.ops.AttentionShape;
import jqlora.ops.Sequences;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** How many heads go through the backward at a time, and the memory of that, of shapes whose figures an H200 has shown. */
class FlashGraphsTest {
    @ParameterizedTest
    @CsvSource({"1, 512, 1, 25165824", "1, 2048, 1, 301989888", "4, 2048, 4, 301989888", "8, 2048, 8, 301989888", "1, 8192, 4, 1107296256", "1, 32768, 8, 8657043456"})
    void partsOfTheHeads(int count, int length, int parts, long workspace) {
        int[] lengths = new int[count];
        Arrays.fill(lengths, length);
        AttentionShape shape = new AttentionShape(32, 8, 128, 0, 0.1f);
        FlashGraphs graphs = CudaAttention.graphs(shape, Sequences.ofLengths(lengths), 64, true);
        assertEquals(parts, graphs.mostParts());
        assertEquals(workspace, graphs.part(parts).workspaceBytes());
        long scarce = 24 * graphs.workspaceBytes() - 1;
        assertEquals(workspace, CudaAttention.estimatedNeeds(scarce, shape, Sequences.ofLengths(lengths), 64, true).workspace());
        assertEquals(0, CudaAttention.estimatedNeeds(scarce, shape, Sequences.ofLengths(lengths), 64, false).workspace());
        assertEquals(graphs.workspaceBytes(), CudaAttention.estimatedNeeds(scarce + 1, shape, Sequences.ofLengths(lengths), 64, true).workspace(), "all heads at once");
        assertEquals(32, graphs.part(parts).rowHeads());
        assertEquals(0, CudaAttention.graphs(shape, Sequences.ofLengths(lengths), 64, false).workspaceBytes());
    }
}
