package jqlora.train;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;

import jqlora.data.BatchPlan;
import jqlora.model.ActivationBudget;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the configuration records refuse, and how many steps a run has. */
class ConfigsTest {
    @Test
    void runsWithoutALength() {
        SftConfig config = SftConfig.defaults();
        for (double epochs : new double[] {0, -1, Double.NaN}) {
            assertFails(IllegalArgumentException.class, () -> config.withNumTrainEpochs(epochs), "sft: maxSteps is 0 and numTrainEpochs is " + epochs, "one of them must be positive");
        }
        assertFails(IllegalArgumentException.class, () -> config.withMaxSteps(-5), "sft: maxSteps is -5");
    }

    @ParameterizedTest
    @CsvSource({"-0.1, 0.999, 1e-8, 0, 0", "1, 0.999, 1e-8, 0, 0", "0.9, 1, 1e-8, 0, 0", "0.9, NaN, 1e-8, 0, 0", "0.9, 0.999, 0, 0, 0", "0.9, 0.999, 1e-8, -0.1, 0", "0.9, 0.999, 1e-8, 0, -1",
            "0.9, 0.999, 1e-8, 0, NaN"})
    void optimizers(double beta1, double beta2, double eps, double weightDecay, double maxGradNorm) {
        assertFails(IllegalArgumentException.class, () -> new OptimizerConfig(Optim.ADAMW_32BIT, beta1, beta2, eps, weightDecay, maxGradNorm),
                "optimizer: beta1 " + beta1 + ", beta2 " + beta2 + ", eps " + eps + ", weightDecay " + weightDecay + ", maxGradNorm " + maxGradNorm);
    }

    @ParameterizedTest
    @CsvSource({"adamw_torch, ADAMW_32BIT", "paged_adamw, PAGED_ADAMW_32BIT", "paged_adamw_32bit, PAGED_ADAMW_32BIT", "adamw_bnb_8bit, ADAMW_8BIT", "adamw_8bit, ADAMW_8BIT", "paged_adamw_8bit, PAGED_ADAMW_8BIT"})
    void namesOfOptimizers(String name, Optim expected) {
        assertEquals(expected, Optim.ofName(name));
        assertEquals(name.startsWith("paged"), expected.isPaged());
        assertEquals(name.contains("8bit"), expected.isIn8Bits("p.weight", 4096));
        assertFails(IllegalArgumentException.class, () -> Optim.ofName(name + "s"), "optim is \"" + name + "s\", it must be one of [adamw_torch, ", "paged_adamw_8bit]");
    }

    @Test
    void batchesCheckpointsAndBudgets() {
        assertFails(IllegalArgumentException.class, () -> BatchConfig.defaults().withPerDeviceTrainBatchSize(0), "perDeviceTrainBatchSize 0 and gradientAccumulationSteps 16 must be at least 1");
        assertFails(IllegalArgumentException.class, () -> BatchConfig.defaults().withGradientAccumulationSteps(-1), "gradientAccumulationSteps -1 must be at least 1");
        assertFails(IllegalArgumentException.class, () -> new CheckpointConfig(-1, 1, 0), "checkpoints: saveSteps -1, saveTotalLimit 1, evalSteps 0");
        assertFails(IllegalArgumentException.class, () -> new CheckpointConfig(0, 0, 0), "saveTotalLimit 0");
        assertFails(IllegalArgumentException.class, () -> new CheckpointConfig(0, 1, -1), "evalSteps -1", "must be at least 0, 1 and 0");
        assertFails(IllegalArgumentException.class, () -> new ActivationBudget(-1), "activation budget: -1 bytes");
        assertFails(IllegalArgumentException.class, () -> new BatchPlan(0, 1, BatchPlan.Order.AS_GIVEN, 1), "batch plan: batchSize 0 and window 1 must be at least 1");
    }

    /** As transformers counts: micro-batches rounded up, steps rounded up, epochs of steps rounded up. */
    @ParameterizedTest
    @CsvSource({"1, 1, 10, 1, 10", "2, 2, 19, 1, 5", "4, 4, 16, 1, 1", "4, 4, 17, 1, 2", "3, 2, 10, 2.5, 5", "1, 16, 100, 0.1, 1", "8, 1, 3, 3, 3"})
    void stepsOfARun(int batchSize, int accumulation, int rows, double epochs, int expected) {
        SftConfig config = SftConfig.defaults().withNumTrainEpochs(epochs).withBatches(BatchConfig.defaults().withPerDeviceTrainBatchSize(batchSize).withGradientAccumulationSteps(accumulation));
        assertEquals(expected, config.totalSteps(rows));
        assertEquals(7, config.withMaxSteps(7).totalSteps(rows), "maxSteps wins");
    }
}
