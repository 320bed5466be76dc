package jqlora.train;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import jqlora.format.JsonFileException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TrainerStateTest {
    private static final TrainerState STATE = new TrainerState(2, new LinkedHashMap<>(Map.of("seed", "42")),
            List.of(new TrainEvent.StepEnd(1, 0.5, 2.25, 0.125, 1e-4, 61, 0.25, 1024), new TrainEvent.StepEnd(2, 1.0 / 3, Math.PI, Double.MIN_VALUE, 2e-4, 62, 1e-9, 2048)),
            List.of(new TrainEvent.Evaluated(0, 5.5), new TrainEvent.Evaluated(2, 0.1 + 0.2)));

    @TempDir
    private Path folder;
    private Path file;
    private String text;

    @BeforeEach
    void write() throws IOException {
        STATE.write(folder);
        file = folder.resolve("trainer_state.json");
        text = Files.readString(file);
    }

    /** Every double to the last bit. */
    @Test
    void readAsWritten() throws IOException {
        assertEquals(STATE, TrainerState.read(folder));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            "\"global_step\": 2|\"global_step\": -2|global_step is -2, it must be a positive integer", "\"global_step\": 2|\"global_step\": \"2\"|global_step is \"2\"",
            "\"global_step\": 2|\"global_step\": 99999999999|global_step is 99999999999", "\"global_step\": 2|\"global_step\": 2.0|global_step is 2.0",
            "\"global_step\": 2|\"global_step\": 3|global_step is 3, it must be the number of steps in log_history, 2", "\"global_step\"|\"globalstep\"|global_step is missing",
            "\"loss\": 2.25|\"loss\": null|log_history[0].loss is missing, it must be a number", "\"loss\": 2.25|\"loss\": \"2.25\"|log_history[0].loss is \"2.25\"", "\"loss\": 2.25|\"loss\": NaN|is not JSON at line ",
            "\"grad_norm\": 0.125|\"gradnorm\": 0.125|log_history[0].grad_norm is missing, it must be a number; near it: \"gradnorm\"", "\"tokens\": 61|\"tokens\": 61.5|log_history[0].tokens is 61.5, it must be an integer",
            "\"step\": 1|\"step\": 0|log_history[0].step is 0, it must be a positive integer", "\"eval_loss\": 5.5|\"eval_loss\": true|evaluations[0].eval_loss is true",
            "\"step\": 0|\"step\": -1|evaluations[0].step is -1, it must be from 0 to global_step, 2", "\"step\": 0|\"step\": 3|evaluations[0].step is 3, it must be from 0 to global_step, 2",
            "\"seed\": \"42\"|\"seed\": 42|run.seed is 42, it must be a string"})
    void everyWrongValueIsNamed(String written, String wrong, String message) throws IOException {
        Files.writeString(file, text.replaceFirst(Pattern.quote(written), wrong));
        assertFails(JsonFileException.class, () -> TrainerState.read(folder), file.toString(), message);
    }

    @Test
    void aFileCutShort() throws IOException {
        Files.writeString(file, text.substring(0, text.length() / 2));
        assertFails(JsonFileException.class, () -> TrainerState.read(folder), file.toString());
    }

    @Test
    void anotherRun() throws JsonFileException {
        STATE.requireSameRun(folder, Map.of("seed", "42"));
        assertFails(JsonFileException.class, () -> STATE.requireSameRun(folder, Map.of("seed", "43")), folder.toString(), "is a checkpoint of another run: seed was 42, now it is 43");
        assertFails(JsonFileException.class, () -> STATE.requireSameRun(folder, Map.of("rows", "5 rows")), "rows was null, now it is 5 rows");
    }
}
