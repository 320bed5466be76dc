package jqlora.lora;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import jqlora.PaddedBatch;
import jqlora.format.SafetensorsFile;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.Linear;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.LoraFactors;
import jqlora.ops.Matrix;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.Gpu;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every family in NF4 with an adapter on every linear layer, against the same model in float32 with the weights {@code dequantized(W) + s B A}: the logits, and by the chain rule
 * {@code dA = s B^T dW}, {@code dB = s dW A^T}.
 */
class AdaptedFamiliesTest {
    /** As of the families, where each gradient is a sum over the tokens; here of products of such sums. */
    private static final double RTOL = 1e-4, ATOL = 1e-5;
    private static final int RANK = 3;

    /** On a GPU in bfloat16: what is kept, computed again or brought from the host's memory gives the same bits. */
    @Tag("gpu")
    @ParameterizedTest
    @MethodSource("jqlora.model.FamiliesTest#families")
    void activationsAnywhereOnAGpu(Path folder) throws IOException {
        try (Ops ops = CudaOps.open(Gpu.options()); SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"));
                CausalLm quantized = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT);
                LoraAdapter adapter = LoraAdapter.create(quantized, LoraConfig.defaults().withR(RANK).withTargetModules(inner(quantized)), 11)) {
            randomize(ops, adapter);
            PaddedBatch batch = PaddedBatch.of(file, "");
            assertSameBitsInEveryPlace(ops, quantized, adapter, batch, backward(quantized, adapter, batch, ActivationBudget.keepAll()));
        }
    }

    @ParameterizedTest
    @MethodSource("jqlora.model.FamiliesTest#families")
    void adapterOnFourBits(Path folder) throws IOException {
        try (Ops ops = CpuOps.create(); SafetensorsFile file = SafetensorsFile.open(folder.resolve("case.safetensors"));
                CausalLm quantized = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT);
                CausalLm dense = ModelLoader.load(folder, LoadOptions.fullFineTuning(), ops, LoadListener.SILENT);
                LoraAdapter adapter = LoraAdapter.create(quantized, LoraConfig.defaults().withR(RANK).withTargetModules(inner(quantized)), 11)) {
            randomize(ops, adapter);
            Map<String, Parameter> merged = new LinkedHashMap<>();
            adapter.factors().forEach((name, factors) -> merged.put(name, merge(ops, quantized.linear(name), dense.linear(name), factors)));
            assertFalse(merged.isEmpty());
            PaddedBatch batch = PaddedBatch.of(file, "");
            assertClose("logits", logits(quantized, batch), logits(dense, batch), RTOL, ATOL);

            List<float[]> kept = backward(quantized, adapter, batch, ActivationBudget.keepAll());
            backward(dense, null, batch, ActivationBudget.keepAll());
            adapter.factors().forEach((name, factors) -> {
                Matrix dW = matrix(ops, merged.get(name).gradient()), a = matrix(ops, factors.a().value()), b = matrix(ops, factors.b().value());
                assertClose(name + " dA", floats(ops, factors.a().gradient()), b.transposed().times(dW).scaled(factors.scaling()).toFloats(), RTOL, ATOL);
                assertClose(name + " dB", floats(ops, factors.b().gradient()), dW.times(a.transposed()).scaled(factors.scaling()).toFloats(), RTOL, ATOL);
            });
            assertSameBitsInEveryPlace(ops, quantized, adapter, batch, kept);
        }
    }

    /** Factors B that are not 0, so that A learns too. */
    private static void randomize(Ops ops, LoraAdapter adapter) {
        Random random = new Random(7);
        for (LoraFactors factors : adapter.factors().values()) {
            put(ops, factors.b(), Matrix.random(random, (int) factors.b().value().shape().dim(0), RANK).scaled(0.05));
        }
    }

    private static void assertSameBitsInEveryPlace(Ops ops, CausalLm model, LoraAdapter adapter, PaddedBatch batch, List<float[]> kept) {
        for (ActivationBudget budget : List.of(ActivationBudget.recomputeAll(), new ActivationBudget(0, ActivationBudget.Kept.ATTENTION, ActivationBudget.Place.DEVICE),
                new ActivationBudget(0, ActivationBudget.Kept.INPUT, ActivationBudget.Place.HOST))) {
            ops.zeroGradients(adapter.parameters());
            List<float[]> again = backward(model, adapter, batch, budget);
            for (int i = 0; i < kept.size(); i++) {
                assertSameBits(adapter.parameters().get(i).name() + ", " + budget, again.get(i), kept.get(i));
            }
        }
    }

    /** Every linear layer but the output layer. */
    private static String[] inner(CausalLm model) {
        return model.linears().keySet().stream().filter(name -> !name.equals(model.headName())).map(name -> name.substring(name.lastIndexOf('.') + 1)).distinct().toArray(String[]::new);
    }

    /** Puts what the adapted layer stands for into the dense one. */
    private static Parameter merge(Ops ops, Linear quantized, Linear dense, LoraFactors factors) {
        Parameter parameter = ((Weight.Dense) dense.weight()).parameter();
        Matrix update = matrix(ops, factors.b().value()).times(matrix(ops, factors.a().value())).scaled(factors.scaling());
        try (Tensor weight = ops.toFloat(quantized.weight())) {
            put(ops, parameter, matrix(ops, weight).plus(update));
        }
        return parameter;
    }

    private static void put(Ops ops, Parameter parameter, Matrix matrix) {
        try (Tensor value = ops.upload(TensorView.ofFloats(matrix.toFloats(), matrix.rows(), matrix.columns()))) {
            ops.copyInto(parameter.value(), value);
        }
    }

    private static float[] logits(CausalLm model, PaddedBatch batch) {
        try (Tensor logits = model.logits(batch.ids(), batch.sequences())) {
            return floats(model.ops(), logits);
        }
    }

    private static List<float[]> backward(CausalLm model, LoraAdapter adapter, PaddedBatch batch, ActivationBudget budget) {
        try (Tensor sum = model.ops().zeros(DType.F64, 1)) {
            model.forwardBackward(batch.tokens(), 0.1, sum, 0, budget);
        }
        List<float[]> gradients = new ArrayList<>();
        if (adapter != null) {
            adapter.parameters().forEach(parameter -> gradients.add(floats(model.ops(), parameter.gradient())));
        }
        return gradients;
    }

    private static float[] floats(Ops ops, Tensor tensor) {
        return ops.download(tensor).toFloats();
    }

    private static Matrix matrix(Ops ops, Tensor tensor) {
        return Matrix.of((int) tensor.shape().dim(0), (int) tensor.shape().dim(1), floats(ops, tensor));
    }
}
