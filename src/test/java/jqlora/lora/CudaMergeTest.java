package jqlora.lora;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import jqlora.TinyModel;
import jqlora.format.Checkpoint;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.model.ModelWriter;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.Gpu;
import jqlora.quant.Absmax;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Every route of a merge on a GPU: the bytes of the processor, in memory and in the files that are written, and undone to the very bytes. */
@Tag("gpu")
class CudaMergeTest {
    private static CpuOps cpu;
    private static CudaOps cuda;

    @TempDir
    private static Path folder;

    @BeforeAll
    static void open() throws IOException {
        cpu = CpuOps.create(2);
        cuda = CudaOps.open(Gpu.options());
        TinyModel.llama().write(folder.resolve("bf16"), DType.BF16, 1, cpu);
    }

    @AfterAll
    static void close() {
        assertEquals(0, cuda.memory().bytesInUse(), "bytes in use after all models and adapters are closed");
        cuda.close();
        cpu.close();
    }

    private static LoraAdapter adapter(CausalLm model) {
        LoraAdapter adapter = LoraAdapter.create(model, LoraConfig.defaults().withR(5), 5);
        Random random = new Random(6);
        adapter.factors().values().forEach(factors -> {
            Tensor b = factors.b().value();
            float[] values = new float[(int) b.shape().size()];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (0.05 * random.nextGaussian());
            }
            try (Tensor uploaded = model.ops().upload(TensorView.ofFloats(values, b.shape().toArray()))) {
                model.ops().copyInto(b, uploaded);
            }
        });
        return adapter;
    }

    /** Codes, absmax values and offset, or numbers, by the name of each adapted layer's part. */
    private static Map<String, byte[]> bytes(CausalLm model, LoraAdapter adapter) {
        Map<String, byte[]> bytes = new LinkedHashMap<>();
        for (String module : adapter.factors().keySet()) {
            switch (model.linear(module).weight()) {
                case Weight.Dense(Parameter parameter) -> bytes.put(module, array(model.ops().download(parameter.value()).data()));
                case Weight.FourBit fourBit -> {
                    QuantizedTensor tensor = model.ops().download(fourBit);
                    bytes.put(module, array(tensor.codes()));
                    Absmax.Nested nested = (Absmax.Nested) tensor.absmax();
                    bytes.put(module + " absmax", array(nested.codes()));
                    bytes.put(module + " nested absmax", array(nested.scales()));
                    bytes.put(module + " offset and dtype", (nested.offset() + " " + fourBit.format().dtype()).getBytes(java.nio.charset.StandardCharsets.US_ASCII));
                }
            }
        }
        return bytes;
    }

    private static byte[] array(MemorySegment segment) {
        return segment.toArray(ValueLayout.JAVA_BYTE);
    }

    private record Result(Map<String, byte[]> base, Map<String, byte[]> merged, Map<String, byte[]> undone, Path written) { }

    private static Result merge(Ops ops, MergeRoute route) throws IOException {
        Path written = folder.resolve(ops.name() + "-" + route);
        try (Checkpoint original = Checkpoint.open(folder.resolve("bf16"));
                CausalLm model = ModelLoader.load(folder.resolve("bf16"), LoadOptions.asStored().withQuantization(FourBitFormat.defaults()), ops, LoadListener.SILENT);
                LoraAdapter adapter = adapter(model)) {
            Map<String, byte[]> base = bytes(model, adapter);
            try (Merger.Merged merged = Merger.withOriginal(original).merge(adapter, route)) {
                Map<String, byte[]> after = bytes(model, adapter);
                new ModelWriter(folder.resolve("bf16"), DType.BF16).write(model, written);
                merged.unmerge();
                assertTrue(adapter.isAttached());
                return new Result(base, after, bytes(model, adapter), written);
            }
        }
    }

    private static void assertSame(String what, Map<String, byte[]> expected, Map<String, byte[]> actual) {
        assertEquals(expected.keySet(), actual.keySet(), what);
        expected.forEach((name, bytes) -> assertArrayEquals(bytes, actual.get(name), what + ": " + name));
    }

    @ParameterizedTest
    @EnumSource
    void theBytesOfTheProcessor(MergeRoute route) throws IOException {
        Result expected = merge(cpu, route), actual = merge(cuda, route);
        assertSame("base", expected.base, actual.base);
        assertSame("merged", expected.merged, actual.merged);
        assertSame("undone", actual.base, actual.undone);
        for (String file : new String[] {"model.safetensors", "config.json"}) {
            assertEquals(-1, Files.mismatch(expected.written.resolve(file), actual.written.resolve(file)), file);
        }
    }
}
