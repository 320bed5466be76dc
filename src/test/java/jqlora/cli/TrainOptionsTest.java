package jqlora.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import jqlora.data.BatchPlan;
import jqlora.data.SupervisedTokenizer;
import jqlora.lora.TargetModules;
import jqlora.model.ActivationBudget;
import jqlora.model.LoadOptions;
import jqlora.tensor.DType;
import jqlora.train.LearningRate;
import jqlora.train.Optim;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;

/** What {@code train} makes of its words and its file, before anything is opened. */
class TrainOptionsTest {
    @TempDir
    private Path folder;

    private static TrainCommand parsed(String... words) {
        CommandLine line = Main.commandLine();
        line.parseArgs(Stream.concat(Stream.of("train"), Stream.of(words)).toArray(String[]::new));
        return line.getSubcommands().get("train").getCommand();
    }

    private static TrainSettings settings(String... words) {
        return parsed(words).settings();
    }

    /** Of a model that is named, so that no settings of the embedded one are among it. */
    private static TrainSettings named(String... words) {
        return settings(Stream.concat(Stream.of("--model_name_or_path", "some/model"), Stream.of(words)).toArray(String[]::new));
    }

    private static String refusal(String... words) {
        return assertThrows(Exception.class, () -> settings(words)).getMessage();
    }

    private Path file(String name, String text) throws IOException {
        return Files.writeString(folder.resolve(name), text);
    }

    @Test
    void theDefaultsAreThoseOfQloraPy() {
        TrainSettings settings = named();
        assertEquals(LoadOptions.defaults(), settings.load());
        assertEquals("r 64, alpha 16, all-linear", settings.lora().toString());
        assertEquals(new LearningRate(LearningRate.Type.CONSTANT, 2e-4, 0), settings.sftOf(10).learningRate());
        assertEquals(10_000, settings.sft().maxSteps());
        assertEquals(List.of(1, 16, BatchPlan.Order.GROUPED_BY_LENGTH), List.of(settings.sft().batches().perDeviceTrainBatchSize(),
                settings.sft().batches().gradientAccumulationSteps(), settings.sft().batches().order()));
        assertEquals(Optim.PAGED_ADAMW_32BIT, settings.sft().optimizer().optim());
        assertEquals(0.3, settings.sft().optimizer().maxGradNorm());
        assertEquals(ActivationBudget.recomputeAll(), settings.sft().activations());
        assertEquals(List.of(250, 40, 0), List.of(settings.sft().checkpoints().saveSteps(), settings.sft().checkpoints().saveTotalLimit(),
                settings.sft().checkpoints().evalSteps()));
        assertEquals(List.of(1024, 256, 1280), List.of(settings.data().limits().sourceMaxLen(), settings.data().limits().targetMaxLen(),
                settings.data().limits().maxLength()));
        assertEquals(SupervisedTokenizer.Learned.LAST_ANSWER, settings.data().learned());
        assertEquals(new RunSettings(Path.of("output"), false, true, true, 10, 0.03), settings.run());
        assertEquals(256, settings.generation().maxNewTokens());
    }

    /** Another value of each option; of those that count only beside another one, with that one in front. */
    private static final Map<String, String> OTHER = new LinkedHashMap<>();

    static {
        String[] pairs = {"--model_name_or_path", "jqlora-tiny", "--bits", "16", "--double_quant", "false", "--quant_type", "fp4",
                "--lora_r", "8", "--lora_alpha", "8",
            "--lora_dropout", "0.1", "--lora_modules", "q_proj,v_proj", "--dataset", "zh-riddles", "--dataset_format", "input-output",
            "--eval_dataset_size", "7",
            "--max_train_samples", "9", "--max_eval_samples", "5", "--source_max_len", "100", "--target_max_len", "90",
            "--train_on_source", "true", "--output_dir", "other",
            "--overwrite_output_dir", "true", "--do_train", "false", "--do_eval", "false", "--max_steps", "12", "--num_train_epochs", "2.5",
            "--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "4", "--group_by_length", "false", "--learning_rate",
            "1e-3",
            "--lr_scheduler_type", "cosine", "--warmup_ratio", "0.1", "--optim", "adamw_bnb_8bit", "--adam_beta1", "0.8", "--adam_beta2",
            "0.95", "--adam_epsilon", "1e-6",
            "--weight_decay", "0.01", "--max_grad_norm", "1", "--gradient_checkpointing", "false", "--logging_steps", "5", "--save_steps",
            "100", "--save_total_limit", "3",
            "--eval_steps", "50", "--seed", "7", "--max_new_tokens", "20", "--do_sample", "true", "--temperature",
            "--do_sample --temperature 0.7",
            "--top_k", "--do_sample --top_k 5", "--top_p", "--do_sample --top_p 0.9", "--device", "cpu", "--threads", "1",
            "--cuda-libraries", "somewhere",
            "--kernel-cache", "elsewhere"};
        for (int i = 0; i < pairs.length; i += 2) {
            OTHER.put(pairs[i], pairs[i + 1]);
        }
    }

    /** An option that is declared and read nowhere would leave the settings as they are. */
    @Test
    void everyOptionChangesTheSettings() {
        List<String> unread = new ArrayList<>(), names = new ArrayList<>();
        for (OptionSpec option : Main.commandLine().getSubcommands().get("train").getCommandSpec().options()) {
            String name = option.longestName();
            names.add(name);
            if (List.of("--help", "--config").contains(name)) {
                continue;
            }
            String other = OTHER.get(name);
            assertTrue(other != null, name + " is not in this test's table");
            String[] before = other.startsWith("--") ? new String[] {"--do_sample"} : new String[0];
            String[] words = other.startsWith("--") ? other.split(" ") : new String[] {name, other};
            if (named(before).equals(named(words))) {
                unread.add(name);
            }
        }
        assertEquals(List.of(), unread, "options that change nothing");
        assertTrue(names.containsAll(OTHER.keySet()), "the table has options that are not there");
    }

    @Test
    void everyValueIsKeptWithTheRunAndGivesTheSameSettingsAgain() throws IOException {
        TrainCommand command = parsed("--model_name_or_path", "some/model", "--lora_r", "8", "--num_train_epochs", "2", "--lora_modules",
                "q_proj", "v_proj", "--no_double_quant",
                "--optim", "adamw_8bit", "--threads", "1", "--max_eval_samples", "3");
        TrainSettings settings = command.settings();
        file("train_config.json", jqlora.format.PythonJson.config().dumps(command.values()));
        assertEquals(settings, settings("--config", folder.resolve("train_config.json").toString()));
        List<String> missing = OTHER.keySet().stream().map(name -> name.substring(2)).filter(name -> !command.values().containsKey(name))
                .toList();
        assertEquals(List.of("eval_dataset_size", "max_train_samples", "overwrite_output_dir", "cuda-libraries", "kernel-cache"), missing);
    }

    @Test
    void wordsAreThoseOfPython() {
        assertEquals(named("--double_quant", "False"), named("--no_double_quant"));
        assertEquals(named(), named("--double_quant", "--do_train", "True", "--group_by_length=yes"));
        assertEquals(named("--lora_r", "8"), named("--lora_r", "16", "--lora_r=8"), "the last of two");
        assertEquals(new TargetModules.Names(List.of("q_proj", "v_proj")), named("--lora_modules", "q_proj", "v_proj", "--lora_r", "4")
                .lora().targetModules());
        assertEquals(named("--lora_modules", "all"), named("--lora_modules", "all-linear"));
        assertEquals(DType.F32, named("--bits", "32").load().dtype());
        assertNull(named("--bits", "16").load().quantization());
        assertEquals(2e-3, named("--learning_rate", "2e-3").sft().learningRate().peak());
    }

    @Test
    void epochsCountWhereNoStepsAreGiven() {
        assertEquals(0, named("--num_train_epochs", "2").sft().maxSteps());
        assertEquals(5, named("--num_train_epochs", "2", "--max_steps", "5").sft().maxSteps(), "as in transformers");
        assertEquals(3.0, named("--max_steps", "-1").sft().numTrainEpochs());
        assertEquals(4, named("--lr_scheduler_type", "linear", "--max_steps", "31", "--warmup_ratio", "0.1").sftOf(100).learningRate()
                .warmupSteps(), "rounded up");
    }

    @Test
    void withoutAModelTheEmbeddedOneHasItsOwnSettings() throws IOException {
        TrainSettings settings = settings();
        assertEquals("jqlora-tiny", settings.model());
        assertEquals(2e-3, settings.sft().learningRate().peak());
        assertEquals(1, settings("--learning_rate", "1").sft().learningRate().peak(), "what is given goes before them");
        assertEquals(0, settings("--num_train_epochs", "1").sft().maxSteps());
        assertEquals(10_000, settings("--model_name_or_path", "jqlora-tiny").sft().maxSteps(), "a model that is named has qlora.py's");
        assertEquals(3, settings("--config", file("r.yaml", "lora_r: 3\n").toString()).lora().r());
    }

    // ---- files

    @Test
    void yamlAndJsonAreTheSameAndTheCommandLineGoesBefore() throws IOException {
        String yaml = file("run.yaml", """
                # a comment
                model_name_or_path: some/model
                lora_r: 8
                learning_rate: 1e-3
                lora_modules: [q_proj, v_proj]
                group_by_length: False
                max_train_samples:
                """).toString();
        String json = file("run.json",
                "{\n\t\"model_name_or_path\": \"some/model\", \"lora_r\": 8, \"learning_rate\": 0.001,\n\t"
                + "\"lora_modules\": \"q_proj,v_proj\","
                + " \"group_by_length\": false, \"max_train_samples\": null}").toString();
        TrainSettings expected = named("--lora_r", "8", "--learning_rate", "1e-3", "--lora_modules", "q_proj", "v_proj",
                "--no_group_by_length");
        assertEquals(expected, settings("--config", yaml));
        assertEquals(expected, settings("--config", json));
        assertEquals(4, settings("--lora_r", "4", "--config", yaml).lora().r());
        String steps = file("steps.yaml", "model_name_or_path: some/model\nmax_steps: 50\n").toString();
        assertEquals(0, settings("--config", steps, "--num_train_epochs", "2").sft().maxSteps(),
                "epochs on the command line go before steps in the file");
        assertEquals(named(), settings("--config", file("empty.yaml", "model_name_or_path: some/model\n").toString()));
    }

    @Test
    void whatIsWrongInAFileIsToldWithItsLine() throws IOException {
        Path file = folder.resolve("run.yaml");
        Map<String, String> wrong = new LinkedHashMap<>();
        wrong.put("lora_r: 8\nlora_q: 9\n", file + ": line 2: lora_q is no option; near it: \"lora_r\"");
        wrong.put("lora_r: eight\n", file + ": line 1: lora_r is \"eight\", it must be a whole number");
        wrong.put("bits: 4\nlora_r: 0\n", file + ": line 2: lora_r is 0; r must be at least 1, got 0");
        wrong.put("bits: 8\n", file + ": line 1: bits is 8, it must be 4, 16 or 32");
        wrong.put("bf16: true\n", file + ": line 1: bf16 is not built: a processor computes in float32");
        wrong.put("bits: 4\nbits: 16\n", file + ": line 2: bits occurs twice, it must occur once; it is also in line 1");
        wrong.put("training:\n  lora_r: 8\n", file + ": line 1: training has entries of its own, it must be one value");
        wrong.put("config: other.yaml\n", file + ": line 1: config names another file");
        wrong.put("- lora_r\n", file + ": is no list of options, it must have lines such as lora_r: 16");
        wrong.put("{\"lora_r\": 8", file + ": line 1: is neither YAML nor JSON: ");
        wrong.put("lora_r: 8\n  bits: 4\n", file + ": line 2: is neither YAML nor JSON: ");
        for (Map.Entry<String, String> each : wrong.entrySet()) {
            Files.writeString(file, each.getKey());
            String message = refusal("--config", file.toString());
            assertTrue(message.contains(each.getValue()), each.getValue() + " is not in " + message);
        }
        Files.delete(file);
        assertEquals("--config: " + file + ": does not exist", refusal("--config", file.toString()));
    }

    // ---- refusals

    @ParameterizedTest
    @ValueSource(strings = {
            "--lora_rank 8 | --lora_rank is no option; near it: \"lora_r\"",
            "--gibberish-altogether | --gibberish-altogether is no option; ./jqlora train --help shows all of them",
            "--do_mmlu_eval | --do_mmlu_eval is not built: there is no MMLU",
            "--full_finetune True | --full_finetune is not built: only adapters are trained here",
            "--no_full_finetune | --no_full_finetune is no option",
            "--lora_r | --lora_r has no value, it must have one: --lora_r R",
            "--lora_r --bits 4 | --lora_r has no value, it must have one: --lora_r R",
            "8 | \"8\" follows no option, it must follow one, as in --lora_r 16",
            "--lora_r 8 9 | \"9\" follows no option",
            "--lora_r 8.5 | --lora_r is \"8.5\", it must be a whole number",
            "--learning_rate fast | --learning_rate is \"fast\", it must be a number",
            "--learning_rate nan | --learning_rate is \"nan\", it must be a number",
            "--learning_rate 1d | --learning_rate is \"1d\", it must be a number",
            "--double_quant maybe | --double_quant is \"maybe\", it must be true or false",
            "--output_dir= | --output_dir is \"\", it must be the name of a file or folder",
            "--bits 8 | --bits is 8, it must be 4, 16 or 32: training on int8 weights is not built; 4 takes less memory",
            "--bits 5 | --bits is 5, it must be 4, 16 or 32",
            "--quant_type int4 | --quant_type is \"int4\", it must be nf4 or fp4",
            "--lora_r 0 | --lora_r is 0; r must be at least 1, got 0",
            "--lora_alpha -1 | --lora_alpha is -1.0; loraAlpha must be positive, got -1.0",
            "--lora_dropout 1 | --lora_dropout is 1.0; loraDropout must be in [0, 1), got 1.0",
            "--lora_modules q_proj,,v_proj | --lora_modules is \"q_proj,,v_proj\", it must be all, or names",
            "--dataset_format oasst1 | --dataset_format is \"oasst1\", it must be alpaca or input-output; write such a data set as rows",
            "--max_train_samples 0 | --max_train_samples is 0, it must be at least 1; leave it out for all rows",
            "--source_max_len 0 | --source_max_len is 0, it must be at least 1",
            "--optim lion | --optim is lion; optim is \"lion\", it must be one of [adamw_torch",
            "--lr_scheduler_type step | --lr_scheduler_type is step; lr_scheduler_type is \"step\", it must be one of constant",
            "--learning_rate 0 | --learning_rate is 0.0; learning rate: peak is 0.0",
            "--warmup_ratio 2 | --warmup_ratio is 2.0, it must be from 0 to 1, a share of the steps",
            "--max_steps -2 | --max_steps is -2, it must be at least -1",
            "--num_train_epochs 0 | --num_train_epochs is 0.0; sft: maxSteps is 0",
            "--per_device_train_batch_size 0 | --per_device_train_batch_size is 0; batches:",
            "--adam_beta2 1 | --adam_beta2 is 1.0; optimizer:",
            "--save_total_limit 0 | --save_total_limit is 0; checkpoints:",
            "--eval_steps -1 | --eval_steps is -1; checkpoints:",
            "--logging_steps 0 | --logging_steps is 0, it must be at least 1",
            "--max_new_tokens 0 | --max_new_tokens is 0; generation:",
            "--top_p 0 | --top_p is 0.0; sampling:",
            "--device tpu | --device is \"tpu\", it must be auto, cpu, cuda or cuda:N",
            "--threads none | --threads is \"none\", it must be a number of threads",
            "--do_train false --do_eval false | --do_train and --do_eval are both false, so there is nothing to do"})
    void wrongWordsAreRefused(String words) {
        String[] parts = words.split(" \\| ");
        String message = refusal(parts[0].split(" "));
        assertTrue(message.startsWith(parts[1]), parts[1] + " does not begin " + message);
    }

    @Test
    void allThatIsWrongIsToldAtOnceWithoutTheUsage() {
        CommandLines ran = CommandLines.run("train", "--lora_rank", "8", "--bf16", "--bits", "four");
        assertEquals(2, ran.status());
        assertEquals(List.of("train: --lora_rank is no option; near it: \"lora_r\"; ./jqlora train --help shows all of them",
                "train: --bf16 is not built: " + NotBuilt.insteadOf("bf16"), "train: --bits is \"four\", it must be a whole number"),
                ran.err().lines().toList());
    }

    @Test
    void whatIsNotBuiltIsNoOption() {
        for (String name : NotBuilt.names()) {
            assertTrue(refusal("--" + name).startsWith("--" + name + " is not built: "), name);
        }
    }

    @Test
    void helpShowsGroupsAndDefaults() {
        CommandLines ran = CommandLines.run("train", "--lora_r", "8", "-h");
        assertEquals(0, ran.status());
        String help = ran.out();
        assertTrue(help.startsWith("usage: ./jqlora train [OPTION VALUE ...]"), help);
        List<String> order = List.of("--config=", "\nModel\n", "--lora_r=R", "Default: 64", "\nData\n", "--source_max_len",
                "Default: 1024", "\nTraining\n", "--group_by_length",
                "Default: true", "Default: 2.0E-4", "\nGeneration\n", "--do_sample", "Default: false");
        int at = 0;
        for (String part : order) {
            assertNotEquals(-1, help.indexOf(part, at), part + " does not follow in " + help);
            at = help.indexOf(part, at);
        }
    }
}
