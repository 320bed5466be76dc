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
    private static final TrainerState STATE = new TrainerState(2, new LinkedHashMap<>(Map.of("seed", "42")), "0123abcd",
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
            "\"loss\": 2.25|\"loss\": null|log_history[0].loss is null, it must be a number", "\"loss\": 2.25|\"loss\": \"2.25\"|log_history[0].loss is \"2.25\"", "\"loss\": 2.25|\"loss\": NaN|is not JSON at line ",
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

    /** Checkpoints of earlier versions do not say what weights they have. */
    @Test
    void withoutAFingerprint() throws IOException {
        Files.writeString(file, text.replaceFirst(",\\s*\"weights\": \"0123abcd\"", ""));
        assertEquals("", TrainerState.read(folder).weights());
    }

    // ---- which run

    private static RunIdentity identity(String... pairs) {
        LinkedHashMap<String, String> values = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            values.put(pairs[i], pairs[i + 1]);
        }
        return new RunIdentity(values);
    }

    private static TrainerState state(RunIdentity identity) {
        return new TrainerState(2, identity.values(), "0123abcd", STATE.steps(), STATE.evaluations());
    }

    @Test
    void theSameRunFromItsStartOrFromTheCheckpointsOwnWeights() throws JsonFileException {
        RunIdentity first = identity("seed", "42", "start", "aaaa");
        assertEquals(first, first.requireSame(folder, state(first)));
        assertEquals(first, identity("seed", "42", "start", "0123abcd").requireSame(folder, state(first)), "gone on with from the weights that the checkpoint has");
    }

    @Test
    void everythingThatDiffersIsTold() {
        TrainerState saved = state(identity("seed", "42", "base", "b1", "start", "aaaa", "rows", "3 rows"));
        assertFails(JsonFileException.class, () -> identity("seed", "43", "base", "b2", "start", "cccc", "rows", "4 rows").requireSame(folder, saved), folder.toString(),
                "is a checkpoint of another run: seed was 42, now it is 43; base was b1, now it is b2 (another base model, or one with other adapters merged into it); start was aaaa, now it is cccc (the weights",
                "rows was 3 rows, now it is 4 rows (other rows, or the same through another tokenizer, template or length limits)", "take another output folder", "withOverwrite(true)");
    }

    @Test
    void aCheckpointOfAnEarlierVersionSaysWhatItLacks() {
        TrainerState saved = new TrainerState(2, java.util.Map.of("seed", "42"), "", STATE.steps(), STATE.evaluations());
        assertFails(JsonFileException.class, () -> identity("seed", "42", "base", "b", "start", "").requireSame(folder, saved), folder.toString(),
                "does not say of which run it is: it was written by an earlier version of jqlora, without base, start; take another output folder", "overwrite");
        assertFails(JsonFileException.class, () -> identity("seed", "43", "base", "b").requireSame(folder, saved), "is a checkpoint of another run: seed was 42, now it is 43; take");
    }
}
