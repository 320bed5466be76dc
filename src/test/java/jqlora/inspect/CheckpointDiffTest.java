package jqlora.inspect;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import jqlora.Oracle;
import jqlora.RandomAdapter;
import jqlora.format.SafetensorsWriter;
import jqlora.format.TensorSource;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.model.ModelWriter;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.ShapeException;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.knowm.xchart.CategoryChart;

/** What differs between two folders, and between the codes before and after a merge. */
class CheckpointDiffTest {
    private static final String Q = "model.layers.0.self_attn.q_proj";
    private static final LoraConfig LORA = LoraConfig.defaults().withR(4).withLoraAlpha(6).withTargetModules("q_proj");

    @TempDir
    Path temp;

    private static TensorSource tensor(String name, long[] shape, float... values) {
        return TensorSource.of(name, TensorView.ofFloats(values, shape));
    }

    private Path folder(String name, TensorSource... tensors) throws IOException {
        Path folder = Files.createDirectories(temp.resolve(name));
        SafetensorsWriter.write(folder.resolve("model.safetensors"), List.of(tensors), SafetensorsWriter.PT);
        return folder;
    }

    @Test
    void everyTensorIsToldWhatBecameOfIt() throws IOException {
        long[] four = {2, 2};
        Path before = folder("before", tensor("same", four, 1, 2, 3, 4), tensor("changed", four, 3, 0, 0, 4), tensor("reshaped", four, 1, 2, 3, 4), tensor("removed", four, 1, 2, 3, 4));
        Path after = folder("after", tensor("same", four, 1, 2, 3, 4), tensor("changed", four, 3, 1, 0, 4), tensor("reshaped", new long[] {4}, 1, 2, 3, 4), tensor("added", four, 1, 2, 3, 4));
        CheckpointDiff diff = CheckpointDiff.of(before, after);
        assertEquals("5 tensors: 1 changed, 1 reshaped, 1 added, 1 removed, 1 same", diff.toString());
        CheckpointDiff.Row changed = diff.changed().stream().filter(row -> row.tensor().equals("changed")).findFirst().orElseThrow();
        assertEquals(new CheckpointDiff.Row("changed", CheckpointDiff.Change.CHANGED, "F32 [2, 2]", "F32 [2, 2]", 0.2, 1, 0.75), changed);
        assertEquals(4, diff.table().rowCount());
        assertEquals(List.of("tensor", "change", "before", "after", "relative", "largest", "equal numbers"), diff.table().columnNames());
        assertEquals(List.of(0f, 1f, 0f, 0f), IntStream.range(0, 4).mapToObj(i -> difference(before, after, "changed")[i]).toList());
        assertFails(IOException.class, () -> CheckpointDiff.difference(before, after, "reshaped"), "has shape [4], in " + before + " it is [2, 2]; they must be equal");
        assertFails(IOException.class, () -> CheckpointDiff.difference(before, after, "removed"), "is not there");
    }

    private static Float[] difference(Path before, Path after, String tensor) {
        try {
            float[] numbers = CheckpointDiff.difference(before, after, tensor).toFloats();
            return IntStream.range(0, numbers.length).mapToObj(i -> numbers[i]).toArray(Float[]::new);
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
    }

    @Test
    void aMergeIsFoundInTheFoldersThatItLiesBetween() throws IOException {
        Path original = Oracle.path("families/llama"), merged = temp.resolve("merged"), quantized = temp.resolve("quantized");
        try (CpuOps ops = CpuOps.create(); CausalLm model = ModelLoader.load(original, LoadOptions.asStored(), ops, LoadListener.SILENT);
                LoraAdapter adapter = RandomAdapter.create(model, LORA, 0.01, 5); Merger.Merged merge = Merger.withoutOriginal().merge(adapter, MergeRoute.ONTO_BASE)) {
            new ModelWriter(original, DType.F32).write(model, merged);
            assertEquals(List.of(Q + ".weight", Q.replace("0", "1") + ".weight"), CheckpointDiff.of(original, merged).changed().stream().map(CheckpointDiff.Row::tensor).toList());
            Spectrum expected = Spectrum.of(adapter, Q), found = Spectrum.of(CheckpointDiff.difference(original, merged, Q + ".weight"));
            for (int i = 0; i < 4; i++) {
                assertClose("singular value " + i, found.singularValues().get(i), expected.singularValues().get(i), 1e-4, 0);
            }
            assertTrue(found.singularValues().get(4) < 1e-3 * found.largest(), "beyond the rank there is rounding: " + found);
            assertTrue(merge.isInForce());
        }
        try (CpuOps ops = CpuOps.create(); CausalLm model = ModelLoader.load(original, LoadOptions.defaults(), ops, LoadListener.SILENT)) {
            new ModelWriter(original, DType.F32).write(model, quantized);
            CheckpointDiff diff = CheckpointDiff.of(original, quantized);
            assertEquals(14, diff.changed().size(), diff.toString());
            assertTrue(diff.changed().stream().allMatch(row -> row.after().startsWith("nf4 [") && row.relative() > 0.05 && row.relative() < 0.15), diff.changed().toString());
            assertEquals(0, CheckpointDiff.of(quantized, quantized).changed().size());
        }
    }

    @Test
    void flippedCodesAreCountedByTheirValues() {
        float[] numbers = new float[64], others;
        for (int i = 0; i < 64; i++) {
            numbers[i] = FourBitType.NF4.value(i % 16);
        }
        others = numbers.clone();
        others[0] = FourBitType.NF4.value(3);                     // up by three
        others[9] = FourBitType.NF4.value(8);                     // down by one
        FourBitFormat format = FourBitFormat.defaults().withDoubleQuantization(false);
        QuantizedTensor before = quantized(numbers, format), after = quantized(others, format);
        CodeFlips flips = CodeFlips.of("w", before, after);
        assertEquals("1 1 3 4", flips.count(0, 3) + " " + flips.count(9, 8) + " " + flips.count(0, 0) + " " + flips.count(15, 15));
        assertEquals("0.03125 0.015625 0.0", flips.flipped() + " " + flips.toNeighbour() + " " + flips.otherScales());
        assertEquals("w: 3.1% of the codes flipped, 1.6% to a neighbour; 0.0% of the scales are others", flips.toString());
        CategoryChart chart = flips.chart();
        Pictures.assertDrawn(chart, "Codes that flipped in w", "value before", "percent of its weights");
        assertEquals(25.0, chart.getSeriesMap().get("to a higher value").getYData().stream().toList().getFirst());
        for (int i = 0; i < 64; i++) {
            others[i] = 2 * numbers[i];
        }
        CodeFlips scaled = CodeFlips.of("w", before, quantized(others, format));
        assertEquals("0.0 1.0", scaled.flipped() + " " + scaled.otherScales(), "twice the numbers: the same codes, another scale");
        assertFails(IllegalArgumentException.class, () -> CodeFlips.of("w", before, quantized(numbers, format.withBlockSize(32))), "code flips of w: nf4, blocks of 64 before, nf4, blocks of 32 after");
        assertFails(ShapeException.class, () -> CodeFlips.of("w", before, quantized(new float[32], format)), "code flips of w has shape [32], it must be [64]");
    }

    private static QuantizedTensor quantized(float[] numbers, FourBitFormat format) {
        return new PlainFourBitCodec().quantize(TensorView.ofFloats(numbers, numbers.length), format, Arena.ofAuto());
    }

    @Test
    void aMergeInto4BitsFlipsCodesAndOneIntoNumbersHasNone() throws IOException {
        Path folder = Oracle.path("families/llama");
        try (CpuOps ops = CpuOps.create(); CausalLm model = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT);
                LoraAdapter adapter = RandomAdapter.create(model, LORA, 0.05, 5)) {
            Merger.Merged merged = Merger.withoutOriginal().merge(adapter, MergeRoute.STOCHASTIC_4BIT);
            CodeFlips flips = CodeFlips.of(merged, Q);
            assertTrue(flips.flipped() > 0.01 && flips.toNeighbour() <= flips.flipped(), flips.toString());
            assertFails(IllegalArgumentException.class, () -> CodeFlips.of(merged, "lm_head"), "code flips: the merge holds nothing of \"lm_head\"; it holds " + Q);
            merged.unmerge();
            Merger.Merged numbers = Merger.withoutOriginal().merge(adapter, MergeRoute.ONTO_BASE);
            assertFails(IllegalArgumentException.class, () -> CodeFlips.of(numbers, Q), "code flips: the weight of " + Q + " is in numbers; it must be in 4 bits before the merge and after");
            numbers.unmerge();
        }
    }
}
