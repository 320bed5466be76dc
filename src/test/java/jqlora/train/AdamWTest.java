package jqlora.train;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import jqlora.Oracle;
import jqlora.format.SafetensorsException;
import jqlora.format.SafetensorsFile;
import jqlora.ops.Parameter;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The optimizer of a run against PyTorch's and bitsandbytes': ten steps from the same gradients. */
class AdamWTest {
    private static final int STEPS = 10;
    private static final double LEARNING_RATE = 1e-2;

    private static CpuOps ops;

    @TempDir
    private Path folder;

    @BeforeAll
    static void open() {
        ops = CpuOps.create();
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all optimizers are closed");
        ops.close();
    }

    private static OptimizerConfig config(double weightDecay) {
        return OptimizerConfig.defaults().withWeightDecay(weightDecay).withMaxGradNorm(0);
    }

    private static Parameter parameter(String name, TensorView value) {
        return new Parameter(name, ops.upload(value), ops.zeros(DType.F32, value.shape().toArray()));
    }

    private static Parameter parameter(String name, float... values) {
        return parameter(name, TensorView.ofFloats(values, values.length));
    }

    private static void setGradient(Parameter parameter, TensorView gradient) {
        try (Tensor uploaded = ops.upload(gradient)) {
            ops.copyInto(parameter.gradient(), uploaded);
        }
    }

    private static void step(AdamW optimizer, int step) {
        try (Tensor norm = ops.zeros(DType.F64, 1)) {
            optimizer.step(step, LEARNING_RATE, norm);
        }
    }

    private static float[] floats(Tensor tensor) {
        return ops.download(tensor).toFloats();
    }

    /**
     * Both make a step of up to 1e-2 a number. PyTorch's differs by float32 noise; bitsandbytes' kernel has its betas in float32, so that 1 - 0.999f is
     * right to 5 digits only. It decays after the step and PyTorch before, so its case has no decay.
     */
    @ParameterizedTest
    @CsvSource({"torch_AdamW, 0.1, state_exp_avg, state_exp_avg_sq, 1e-6, 1.3e-6", "PagedAdamW32bit, 0, state_state1, state_state2, 5e-6, 3e-5"})
    void tenStepsOf(String name, double weightDecay, String first, String second, double atol, double momentRtol) throws IOException {
        try (SafetensorsFile given = SafetensorsFile.open(Oracle.path("optimizers/torch_AdamW.safetensors"));
                SafetensorsFile expected = SafetensorsFile.open(Oracle.path("optimizers/" + name + ".safetensors"));
                Parameter parameter = parameter("p.weight", given.get("param_0")); AdamW optimizer = new AdamW(ops, List.of(parameter), config(weightDecay))) {
            int compared = 0;
            for (int step = 1; step <= STEPS; step++) {
                setGradient(parameter, given.get("grad_" + step));
                step(optimizer, step);
                if (expected.names().contains("param_" + step)) {
                    assertClose("parameter after step " + step, floats(parameter.value()), expected.get("param_" + step).toFloats(), 0, atol);
                    compared++;
                }
            }
            assertTrue(compared >= 2 && expected.names().contains("param_" + STEPS), compared + " steps compared");
            optimizer.save(folder.resolve("optimizer.safetensors"));
            try (SafetensorsFile moments = SafetensorsFile.open(folder.resolve("optimizer.safetensors"))) {
                assertClose("first moment", moments.get("exp_avg.p.weight").toFloats(), expected.get(first).toFloats(), momentRtol, 5e-8);
                assertClose("second moment", moments.get("exp_avg_sq.p.weight").toFloats(), expected.get(second).toFloats(), momentRtol, 5e-8);
            }
        }
    }

    /**
     * bitsandbytes' 8-bit AdamW, decay included: every code of both moments. Its kernel divides and raises approximately, which the parameters show in their
     * last bits.
     */
    @Test
    void tenStepsIn8Bits() throws IOException {
        OptimizerConfig config = config(0.1).withOptim(Optim.ADAMW_8BIT);
        try (SafetensorsFile given = SafetensorsFile.open(Oracle.path("optimizers/torch_AdamW.safetensors"));
                SafetensorsFile expected = SafetensorsFile.open(Oracle.path("optimizers/AdamW8bit.safetensors"));
                Parameter parameter = parameter("p.weight", given.get("param_0")); AdamW optimizer = new AdamW(ops, List.of(parameter), config)) {
            for (int step = 1; step <= STEPS; step++) {
                setGradient(parameter, given.get("grad_" + step));
                step(optimizer, step);
                if (step == 1 || step == STEPS) {
                    assertClose("parameter after step " + step, floats(parameter.value()), expected.get("param_" + step).toFloats(), 0, 5e-6);
                }
            }
            Path file = folder.resolve("optimizer.safetensors");
            optimizer.save(file);
            try (SafetensorsFile moments = SafetensorsFile.open(file)) {
                assertEquals(List.of("exp_avg.p.weight", "exp_avg_absmax.p.weight", "exp_avg_sq.p.weight", "exp_avg_sq_absmax.p.weight"), moments.names().stream().sorted().toList());
                assertClose("absmax of the first moment", moments.get("exp_avg_absmax.p.weight").toFloats(), expected.get("state_absmax1").toFloats(), 1e-5, 0);
                assertClose("absmax of the second moment", moments.get("exp_avg_sq_absmax.p.weight").toFloats(), expected.get("state_absmax2").toFloats(), 1e-5, 0);
                assertArrayEquals(expected.get("state_state1").toInts(), moments.get("exp_avg.p.weight").toInts(), "codes of the first moment");
                assertArrayEquals(expected.get("state_state2").toInts(), moments.get("exp_avg_sq.p.weight").toInts(), "codes of the second moment");
            }
        }
    }

    /** As bitsandbytes and transformers: 8 bits from 4096 elements on, and never for embeddings. */
    @Test
    void whatIsIn8Bits() throws IOException {
        List<Parameter> parameters = List.of(parameter("large.weight", new float[4096]), parameter("small.weight", new float[4095]), parameter("model.embed_tokens.weight", new float[5000]));
        try (AdamW optimizer = new AdamW(ops, parameters, config(0).withOptim(Optim.ADAMW_8BIT))) {
            optimizer.save(folder.resolve("optimizer.safetensors"));
            try (SafetensorsFile moments = SafetensorsFile.open(folder.resolve("optimizer.safetensors"))) {
                assertEquals(DType.U8, moments.get("exp_avg.large.weight").dtype());
                assertEquals(DType.F32, moments.get("exp_avg.small.weight").dtype());
                assertEquals(DType.F32, moments.get("exp_avg_sq.model.embed_tokens.weight").dtype());
            }
        }
        parameters.forEach(Parameter::close);
    }

    /** transformers' rule: matrices and adapters shrink by learning rate times decay, norms and biases do not; a gradient of zero moves nothing. */
    @Test
    void whatIsDecayed() {
        String adapter = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
        List<Parameter> parameters = List.of(parameter(adapter, 1f), parameter("model.layers.0.mlp.up_proj.weight", 1f), parameter("model.embed_tokens.weight", 1f),
                parameter("model.layers.0.self_attn.q_proj.bias", 1f), parameter("model.layers.0.input_layernorm.weight", 1f), parameter("model.norm.weight", 1f));
        try (AdamW optimizer = new AdamW(ops, parameters, config(0.1))) {
            step(optimizer, 1);
            for (Parameter parameter : parameters) {
                boolean spared = parameter.name().endsWith(".bias") || parameter.name().contains("norm");
                assertEquals(spared ? 1f : (float) (1 - LEARNING_RATE * 0.1), floats(parameter.value())[0], parameter.name());
            }
        }
        parameters.forEach(Parameter::close);
    }

    @Test
    void gradientsAreZeroAfterAStep() {
        try (Parameter parameter = parameter("p.weight", 1f, 2f); AdamW optimizer = new AdamW(ops, List.of(parameter), config(0))) {
            setGradient(parameter, TensorView.ofFloats(new float[] {3, 4}, 2));
            step(optimizer, 1);
            assertSameBits("gradient", floats(parameter.gradient()), new float[2]);
        }
    }

    /** The moments of a checkpoint go on bit for bit. */
    @ParameterizedTest
    @EnumSource
    void restoredMomentsGoOn(Optim optim) throws IOException {
        int size = 5000;
        float[] values = new float[size], gradients = new float[size];
        Random random = new Random(3);
        for (int i = 0; i < size; i++) {
            values[i] = (float) random.nextGaussian();
            gradients[i] = (float) random.nextGaussian();
        }
        TensorView gradient = TensorView.ofFloats(gradients, size);
        OptimizerConfig config = config(0.1).withOptim(optim);
        try (Parameter one = parameter("p.weight", values); Parameter other = parameter("p.weight", values); AdamW optimizer = new AdamW(ops, List.of(one), config);
                AdamW restored = new AdamW(ops, List.of(other), config)) {
            setGradient(one, gradient);
            step(optimizer, 1);
            optimizer.save(folder.resolve("optimizer.safetensors"));
            restored.restore(folder.resolve("optimizer.safetensors"));
            ops.copyInto(other.value(), one.value());
            for (Parameter parameter : List.of(one, other)) {
                setGradient(parameter, gradient);
            }
            step(optimizer, 2);
            step(restored, 2);
            assertSameBits("parameter", floats(other.value()), floats(one.value()));
            restored.save(folder.resolve("restored.safetensors"));
            optimizer.save(folder.resolve("optimizer.safetensors"));
            assertEquals(-1, Files.mismatch(folder.resolve("restored.safetensors"), folder.resolve("optimizer.safetensors")));
        }
    }

    /** Moments in 8 bits are no moments in 32. */
    @Test
    void momentsOfAnotherKindAreRefused() throws IOException {
        Path file = folder.resolve("optimizer.safetensors");
        try (Parameter parameter = parameter("p.weight", new float[4096]); AdamW in8Bits = new AdamW(ops, List.of(parameter), config(0).withOptim(Optim.ADAMW_8BIT));
                AdamW in32Bits = new AdamW(ops, List.of(parameter), config(0))) {
            in8Bits.save(file);
            assertFails(SafetensorsException.class, () -> in32Bits.restore(file), "\"exp_avg.p.weight\"", "is U8 [4096], for this run it must be F32 [4096]");
        }
    }

    @Test
    void momentsOfOtherParametersAreRefused() throws IOException {
        Path file = folder.resolve("optimizer.safetensors");
        try (Parameter one = parameter("p.weight", 1f, 2f); Parameter renamed = parameter("q.weight", 1f, 2f); Parameter longer = parameter("p.weight", 1f, 2f, 3f);
                AdamW optimizer = new AdamW(ops, List.of(one), config(0)); AdamW ofRenamed = new AdamW(ops, List.of(renamed), config(0));
                AdamW ofLonger = new AdamW(ops, List.of(longer), config(0))) {
            optimizer.save(file);
            assertFails(SafetensorsException.class, () -> ofRenamed.restore(file), file.toString(), "\"exp_avg.q.weight\"", "near it: \"exp_avg.p.weight\"");
            assertFails(SafetensorsException.class, () -> ofLonger.restore(file), file.toString(), "\"exp_avg.p.weight\"", "is F32 [2], for this run it must be F32 [3]");
        }
    }
}
