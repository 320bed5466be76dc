package jqlora.train;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import jqlora.Oracle;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class LearningRateTest {
    /** transformers' schedulers, every step of a run; in double, so to the last digits. */
    @ParameterizedTest
    @EnumSource
    void everyStepOfTransformers(LearningRate.Type type) {
        JsonObject oracle = Oracle.json(Oracle.path("optimizers/schedules.json"));
        JsonArray expected = oracle.getAsJsonObject("lr_at_step").getAsJsonArray(type.id());
        int total = oracle.get("num_training_steps").getAsInt();
        LearningRate rate = new LearningRate(type, oracle.get("lr").getAsDouble(), oracle.get("num_warmup_steps").getAsInt());
        assertEquals(total, expected.size());
        for (int step = 1; step <= total; step++) {
            assertClose(type + ", step " + step, rate.at(step, total), expected.get(step - 1).getAsDouble(), 1e-14, 0);
        }
    }

    /** A warm-up as long as the run or longer, and none; nothing is divided by zero. */
    @ParameterizedTest
    @EnumSource
    void warmUpsOfAnyLength(LearningRate.Type type) {
        for (int warmup : new int[] {0, 5, 6}) {
            LearningRate rate = new LearningRate(type, 1, warmup);
            for (int step = 1; step <= 5; step++) {
                double expected = type != LearningRate.Type.CONSTANT && step <= warmup ? (step - 1.0) / warmup : -1;
                double actual = rate.at(step, 5);
                assertEquals(true, actual >= 0 && actual <= 1, "rate " + actual);
                if (expected >= 0) {
                    assertClose(type + " in the warm-up of " + warmup, actual, expected, 1e-14, 0);
                }
            }
        }
        assertEquals(1, new LearningRate(type, 1, 0).at(1, 5), "the first step without a warm-up");
    }

    @Test
    void errors() {
        for (double peak : new double[] {0, -1e-4, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertFails(IllegalArgumentException.class, () -> LearningRate.constant(peak), "learning rate: peak is " + peak, "must be positive");
        }
        assertFails(IllegalArgumentException.class, () -> new LearningRate(LearningRate.Type.LINEAR, 1e-4, -3), "warmupSteps is -3", "at least 0");
        assertFails(IllegalArgumentException.class, () -> LearningRate.Type.ofId("polynomial"), "lr_scheduler_type is \"polynomial\"", "constant, constant_with_warmup, linear, cosine");
        for (LearningRate.Type type : LearningRate.Type.values()) {
            assertEquals(type, LearningRate.Type.ofId(type.id()));
        }
    }
}
