package jqlora.cli;

import static jqlora.cli.CommandLines.run;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import jqlora.format.JsonView;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Small runs of {@code train} on the model that ships with jqlora, and what is refused before it is loaded. */
class TrainRunTest {
    private static final int STEPS = 4;

    @TempDir
    private Path folder;

    /** 4 steps of 2 rows with dropout, a checkpoint every 2. */
    private static String[] words(Path output, String... more) {
        List<String> words = new ArrayList<>(List.of("train", "--max_steps", "4", "--max_train_samples", "12", "--max_eval_samples", "3",
                "--lora_r", "2", "--lora_modules",
                "q_proj", "--lora_dropout", "0.1", "--per_device_train_batch_size", "2", "--save_steps", "2", "--max_new_tokens", "4",
                "--device", "cpu", "--logging_steps", "1",
                "--output_dir", output.toString()));
        words.addAll(List.of(more));
        return words.toArray(String[]::new);
    }

    private static void assertSays(CommandLines ran, String... parts) {
        for (String part : parts) {
            assertTrue(ran.out().contains(part), part + " is not in " + ran.out() + ran.err());
        }
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> children = Files.list(folder)) {
            return children.map(child -> child.getFileName().toString()).sorted().toList();
        }
    }

    private static byte[] adapter(Path output) throws IOException {
        return Files.readAllBytes(output.resolve("adapter_model.safetensors"));
    }

    @Test
    void aStoppedRunGoesOnAndEndsAsOneThatWasLeftAlone() throws IOException {
        Path whole = folder.resolve("whole"), stopped = folder.resolve("stopped");
        CommandLines alone = run(words(whole));
        assertEquals(0, alone.status(), alone.err());
        assertSays(alone, "no model is named: it is jqlora-tiny", "jqlora-tiny: llama, 8 layers, hidden 256 on ", "on 12 rows, 4 steps\n",
                " before the first step\n",
                "step 1/4, loss ", "step 4/4, loss ", " tokens/s, ", "saved " + whole.resolve("checkpoint-2"), " after step 4\n",
                "held-out loss ", "the adapter is in " + whole,
                "asked:  Why do bees visit flowers?\n", "wanted: Bees visit flowers", "answer: ");
        assertEquals(2, alone.out().lines().filter(line -> line.startsWith("answer: ")).count());
        assertEquals(List.of("adapter_config.json", "adapter_model.safetensors", "checkpoint-2", "checkpoint-4", "eval_results.json",
                "train_config.json", "train_results.json"),
                names(whole));

        CommandLines first = run(line -> {
            if (line.startsWith("saved ") && line.endsWith("checkpoint-2")) {
                Thread.currentThread().interrupt();
            }
        }, words(stopped));
        assertEquals(130, first.status(), first.err());
        assertSays(first, "stopped after step 3, which is saved in " + stopped + "; the same command goes on there");
        assertFalse(Files.exists(stopped.resolve("adapter_model.safetensors")), "no adapter is written yet");
        assertTrue(Files.exists(stopped.resolve("train_config.json")), "what the run was told is there from its first step on");

        CommandLines second = run(words(stopped));
        assertEquals(0, second.status(), second.err());
        assertSays(second, "it goes on at step 4");
        assertArrayEquals(adapter(whole), adapter(stopped), "the same bits");
        assertEquals(JsonView.read(whole.resolve("train_results.json")).number("train_loss"),
                JsonView.read(stopped.resolve("train_results.json")).number("train_loss"));
        assertEquals(Files.readString(whole.resolve("eval_results.json")), Files.readString(stopped.resolve("eval_results.json")));
        assertEquals(last(alone), last(second), "losses and answers");

        CommandLines third = run(words(stopped));
        assertEquals(0, third.status(), third.err());
        assertSays(third, "all of which are done", "this run is finished already; --overwrite_output_dir begins it again");
        assertArrayEquals(adapter(whole), adapter(stopped));

        CommandLines anew = run(words(stopped, "--overwrite_output_dir"));
        assertEquals(0, anew.status(), anew.err());
        assertSays(anew, "step 1/4, loss ");
        assertArrayEquals(adapter(whole), adapter(stopped));

        CommandLines other = run(words(stopped, "--lora_alpha", "3"));
        assertEquals(2, other.status(), other.out());
        assertTrue(other.err().startsWith("train: ") && other.err().contains("is a checkpoint of another run: ") && other.err()
                .contains("overwrite"), other.err());
        assertEquals(16.0, JsonView.read(stopped.resolve("train_config.json")).number("lora_alpha"), "what the run was told stays");

        CommandLines evaluated = run(words(stopped, "--do_train", "false"));
        assertEquals(0, evaluated.status(), evaluated.err());
        assertSays(evaluated, "with the adapter in " + stopped);
        assertEquals(JsonView.read(whole.resolve("eval_results.json")).number("eval_loss"),
                JsonView.read(stopped.resolve("eval_results.json")).number("eval_loss"), 1e-6);
    }

    private static List<String> last(CommandLines ran) {
        List<String> lines = ran.out().lines().toList();
        int from = lines.stream().map(line -> line.startsWith("held-out loss") && line.contains("before,")).toList().indexOf(true);
        return lines.subList(from, lines.size()).stream().map(line -> line.replaceAll("in .*stopped|in .*whole", "in FOLDER")).toList();
    }

    @Test
    void resultsHaveTheNamesOfTransformers() throws IOException {
        Path output = folder.resolve("output"), rows = folder.resolve("rows.jsonl");
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 20; i++) {
            text.append("{\"input\": \"What is ").append(i).append(" and 1?\", \"output\": \"It is ").append(i + 1).append(".\"}\n");
        }
        Files.writeString(rows, text);
        CommandLines ran = run("train", "--dataset", rows.toString(), "--dataset_format", "input-output", "--eval_dataset_size", "4",
                "--num_train_epochs", "1.5",
                "--per_device_train_batch_size", "3", "--gradient_accumulation_steps", "2", "--lora_r", "2", "--lora_modules", "v_proj",
                "--train_on_source", "--max_new_tokens",
                "3", "--do_sample", "--device", "cpu", "--output_dir", output.toString(), "--eval_steps", "2");
        assertEquals(0, ran.status(), ran.err());
        assertSays(ran, "on 16 rows, 5 steps", "after step 2\n", "after step 4\n", "after step 5\n");
        JsonView train = JsonView.read(output.resolve("train_results.json")),
                evaluation = JsonView.read(output.resolve("eval_results.json"));
        assertEquals(List.of("epoch", "num_input_tokens_seen", "train_loss", "train_runtime", "train_samples", "train_samples_per_second",
                "train_steps_per_second"),
                List.copyOf(train.keys()));
        assertEquals(List.of("epoch", "eval_loss", "eval_loss_before_training", "eval_samples", "perplexity"),
                List.copyOf(evaluation.keys()));
        assertEquals(5 / 3.0, train.number("epoch"), 1e-12);
        assertEquals(28 / train.number("train_runtime"), train.number("train_samples_per_second"), 1e-6, "16 rows and two steps of 6");
        assertEquals(4, evaluation.positive("eval_samples"));
        assertEquals(Math.exp(evaluation.number("eval_loss")), evaluation.number("perplexity"), 1e-9);
        assertTrue(evaluation.number("eval_loss") < evaluation.number("eval_loss_before_training"), ran.out());
        assertEquals("input-output", JsonView.read(output.resolve("train_config.json")).text("dataset_format"));
    }

    // ---- refused before a model is loaded

    private static void refused(String message, String... words) {
        CommandLines ran = run(words);
        assertEquals(2, ran.status(), ran.out() + ran.err());
        assertTrue(ran.err().startsWith("train: ") && ran.err().contains(message) && ran.err().lines().count() == 1, message
                + " is not in " + ran.err());
        assertEquals("", ran.out(), "nothing is said before");
    }

    @Test
    void foldersThatCannotTakeTheAdapterAreRefused() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "x");
        refused(file + ": is a file, it must be a folder", words(file));
        refused(file.resolve("below") + ": cannot be made, " + file + " is a file", words(file.resolve("below")));
        refused("models/jqlora-tiny: holds a model (model.safetensors)", words(Path.of("models/jqlora-tiny")));
        Files.writeString(folder.resolve("adapter_config.json"), "{}");
        refused("--output_dir is " + folder + ", which holds an adapter and no checkpoint of the run that made it; give another folder",
                words(folder));
    }

    @Test
    void dataThatIsNoneIsRefused() throws IOException {
        Path output = folder.resolve("output"), rows = folder.resolve("rows.jsonl");
        refused("--dataset is \"en-wiki-question\", which is no file or folder here and no set that ships with jqlora ("
                + "en-wiki-questions, ja-phrases, zh-riddles);"
                + " near it: \"en-wiki-questions\"", words(output, "--dataset", "en-wiki-question"));
        refused("--dataset is \"alpaca\"", words(output, "--dataset", "alpaca"));
        Files.writeString(rows, "\n");
        refused(rows + ": has no rows", words(output, "--dataset", rows.toString()));
        Files.writeString(rows, "{\"instruction\": \"a\", \"output\": \"b\"}\n{\"instruction\": \"a\"}\n");
        refused(rows + ": line 2: output is missing", words(output, "--dataset", rows.toString()));
        Files.writeString(rows, "{\"instruction\": \"a\", \"output\": \"b\"}\n{\"instruction\": \"c\", \"output\": \"d\"}\n");
        refused("--eval_dataset_size is 2 and rows.jsonl has 2 rows, it must leave at least one to train on",
                words(output, "--dataset", rows.toString(),
                "--eval_dataset_size", "2"));
        refused("no row is held out", words(output, "--dataset", rows.toString(), "--do_train", "false"));
        refused(folder.resolve("train.jsonl") + ": does not exist", words(output, "--dataset", folder.toString()));
        assertFalse(Files.exists(output), "nothing is written");
    }

    @Test
    void modelsThatAreNoneAreRefused() {
        Path output = folder.resolve("output");
        refused("\"nowhere\" is no folder here, and no name on the Hub", words(output, "--model_name_or_path", "nowhere"));
        refused("config.json: does not exist", words(output, "--model_name_or_path", folder.toString()));
        refused("--model_name_or_path is empty", words(output, "--model_name_or_path", ""));
        CommandLines ran = run(words(output, "--lora_modules", "q_proj", "w_proj"));
        assertEquals(2, ran.status(), ran.out());
        assertTrue(ran.err().startsWith("train: --lora_modules is q_proj, w_proj; targetModules: \"w_proj\" matches no linear layer of the model")
                && ran.err().contains("near it: \"q_proj\"") && !ran.out().contains("jqlora-tiny: llama"), ran.err());
        assertFalse(Files.exists(output), "nothing is written");
    }
}
