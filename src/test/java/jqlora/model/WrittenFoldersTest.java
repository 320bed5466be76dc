package jqlora.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import jqlora.PeerLogits;
import jqlora.ops.Sequences;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * Folders that {@link ModelWriter} writes, dense and in 4 bits, of every family: transformers and bitsandbytes load them and compute our logits. What is in 4 bits decodes
 * to float32 here, since bitsandbytes 0.50.2, asked for float32, leaves out the rounding to another type; {@link WrittenFourBitTest} has that one.
 */
@Tag("peers")
class WrittenFoldersTest {
    /** Beyond Mistral's window of 8, and a single token. */
    private static final List<int[]> IDS = List.of(new int[] {3, 141, 59, 26, 5, 35, 89, 79, 32, 38, 46, 26, 43, 198, 1, 0, 7}, new int[] {11, 22, 33, 44}, new int[] {150});
    private static final FourBitFormat NF4 = FourBitFormat.defaults().withDoubleQuantization(false);

    @TempDir
    Path temp;

    /** How many layers of each case are in 4 bits here. */
    private final Map<String, Integer> inFourBits = new HashMap<>();

    @TestFactory
    Stream<DynamicTest> transformersLoadsThemAndComputesTheSame() throws Exception {
        PeerLogits peers = new PeerLogits(temp, IDS);
        try (CpuOps ops = CpuOps.create()) {
            for (Path source : FamiliesTest.families().toList()) {
                add(peers, ops, source, "float32", LoadOptions.asStored(), DType.F32);
                add(peers, ops, source, "bfloat16", LoadOptions.asStored().withDtype(DType.BF16), DType.BF16);
                if (!FamiliesTest.isInFourBitsElsewhere(source)) {
                    continue;
                }
                add(peers, ops, source, "nf4", LoadOptions.defaults().withQuantization(NF4), DType.F32);
                add(peers, ops, source, "nf4_dq", LoadOptions.defaults(), DType.F32);
                add(peers, ops, source, "fp4", LoadOptions.defaults().withQuantization(NF4.withType(FourBitType.FP4)), DType.F32);
                add(peers, ops, source, "nf4_without_down_proj", LoadOptions.defaults().withSkipModules(List.of("down_proj")), DType.F32);
            }
            assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all models are closed");
        }
        List<PeerLogits.Found> found = peers.run();
        assertTrue(found.size() >= 7 * 6, "cases: " + found.size());
        return found.stream().map(each -> DynamicTest.dynamicTest(each.name(), () -> {
            assertEquals(inFourBits.get(each.name()), each.linears4bit(), "4-bit layers");
            each.assertSameLogits(1e-5, 1e-5);
        }));
    }

    private void add(PeerLogits peers, CpuOps ops, Path source, String kind, LoadOptions options, DType dtype) throws IOException {
        String name = source.getFileName() + " " + kind;
        Path folder = temp.resolve(name.replace(' ', '-'));
        try (CausalLm model = ModelLoader.load(source, options, ops, LoadListener.SILENT)) {
            new ModelWriter(source, dtype).write(model, folder);
            peers.add(name, folder, null, model);
            inFourBits.put(name, (int) model.linears().values().stream().filter(linear -> linear.weight() instanceof Weight.FourBit).count());
            try (CausalLm reloaded = ModelLoader.load(folder, LoadOptions.asStored(), ops, LoadListener.SILENT)) {
                assertArrayEquals(logits(model), logits(reloaded), name + ": logits of the model that is read back");
            }
        }
    }

    private static float[] logits(CausalLm model) {
        try (Tensor logits = model.logits(IDS.getFirst(), Sequences.ofLengths(IDS.getFirst().length))) {
            return model.ops().download(logits).toFloats();
        }
    }
}
