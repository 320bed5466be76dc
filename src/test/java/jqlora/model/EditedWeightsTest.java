package jqlora.model;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jqlora.Oracle;
import jqlora.format.Checkpoint;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EditedWeightsTest {
    private static final Path MODEL = Oracle.path("families/llama");

    @TempDir
    private Path temp;

    @Test
    void onlyLinearWeightsOfLayersAreEdited() throws IOException {
        List<String> edited = new ArrayList<>();
        EditedWeights twice = (name, weight) -> {
            edited.add(name);
            float[] numbers = weight.toFloats();
            for (int i = 0; i < numbers.length; i++) {
                numbers[i] *= 2;
            }
            return numbers;
        };
        Path copy = twice.write(MODEL, temp.resolve("copy"));
        assertEquals(14, edited.size(), edited.toString());
        try (Checkpoint before = Checkpoint.open(MODEL); Checkpoint after = Checkpoint.open(copy)) {
            assertEquals(before.infos().keySet(), after.infos().keySet());
            for (String name : before.infos().keySet()) {
                float[] expected = before.get(name).toFloats();
                for (int i = 0; i < expected.length; i++) {
                    expected[i] *= edited.contains(name) ? 2 : 1;
                }
                assertArrayEquals(expected, after.get(name).toFloats(), name);
                assertEquals(edited.contains(name) ? DType.F32 : before.get(name).dtype(), after.get(name).dtype(), name);
            }
        }
        try (CpuOps ops = CpuOps.create(1); CausalLm model = ModelLoader.load(copy, LoadOptions.asStored(), ops, LoadListener.SILENT)) {
            assertEquals(2, model.spec().numHiddenLayers());
        }
    }

    @Test
    void whatCannotBeEditedIsRefused() throws IOException {
        EditedWeights same = (name, weight) -> weight.toFloats();
        assertFails(IOException.class, () -> same.write(MODEL, MODEL), "is the folder that the weights come from, it must be another one");
        EditedWeights shorter = (name, weight) -> new float[3];
        assertFails(IllegalArgumentException.class, () -> shorter.write(MODEL, temp.resolve("short")), ".weight: returned 3 numbers, the weight [");
        Path fourBit = Files.createDirectory(temp.resolve("four-bit"));
        try (CpuOps ops = CpuOps.create(1);
                CausalLm model = ModelLoader.load(MODEL, LoadOptions.asStored().withQuantization(FourBitFormat.defaults()), ops, LoadListener.SILENT)) {
            new ModelWriter(MODEL, DType.BF16).write(model, fourBit);
        }
        assertFails(IOException.class, () -> same.write(fourBit, temp.resolve("no")), "is in 4 bits; weights can be edited where they are numbers");
    }
}
