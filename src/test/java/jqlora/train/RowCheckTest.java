package jqlora.train;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jqlora.TinyModel;
import jqlora.data.BatchPlan;
import jqlora.data.InstructionFile;
import jqlora.data.InstructionRow;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TextTokenizer;
import jqlora.data.TokenizedRow;
import jqlora.generate.Assistant;
import jqlora.generate.GenerationConfig;
import jqlora.generate.Generator;
import jqlora.model.CausalLm;
import jqlora.model.TokenBatch;
import jqlora.ops.Sequences;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A tokenizer with two tokens that the model's embedding lacks, and rows that are not as they must be: told before the first step. */
class RowCheckTest {
    private static final int VOCABULARY = 263;
    private static CpuOps ops;
    private static CausalLm model;
    private static TextTokenizer tokenizer;

    @TempDir
    private Path folder;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        model = TinyModel.llama().with("vocab_size", VOCABULARY).with("max_position_embeddings", 128).open(ops, 1);
        tokenizer = TextTokenizer.open(Path.of("src/test/resources/fixtures/data/tokenizers/added_tokens_file"));
    }

    @AfterAll
    static void close() {
        tokenizer.close();
        model.close();
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after the model is closed");
        ops.close();
    }

    private static SftTrainer trainer(List<TokenizedRow> rows, List<TokenizedRow> heldOut) {
        SftConfig config = SftConfig.defaults().withBatches(new BatchConfig(1, 1, BatchPlan.Order.AS_GIVEN, BatchConfig.Normalization.TOKENS));
        return new SftTrainer(new TrainedWeights.OfModel(model), rows, heldOut, config, null);
    }

    private static final TokenizedRow GOOD = new TokenizedRow(new int[] {1, 2, 3}, 1);
    private static final String MUST = "its id must be below the 263 rows there (vocab_size); take the tokenizer that belongs to the model";

    @Test
    void rowsOfAFile() throws IOException {
        StringBuilder lines = new StringBuilder();
        for (int i = 1; i <= 11; i++) {
            lines.append("{\"instruction\": \"Say hi\", \"output\": \"hi").append(i == 11 ? "<|tool|>" : "").append("\"}\n");
        }
        Path file = Files.writeString(folder.resolve("train.jsonl"), lines);
        // the end token of this tokenizer is beyond the embedding too, so rows without it are made here
        List<TokenizedRow> rows = new ArrayList<>();
        for (TokenizedRow row : SupervisedTokenizer.of(tokenizer).tokenize(InstructionFile.read(file)).rows()) {
            boolean[] learned = new boolean[row.length() - 1];
            learned[learned.length - 1] = true;
            rows.add(new TokenizedRow(java.util.Arrays.copyOf(row.ids(), learned.length), learned, row.source()));
        }
        int place = rows.getLast().length();
        String message = file + ": line 11: token 264 \"<|tool|>\" of the tokenizer's 265, at place " + place + ", is not in the model's embedding: " + MUST;
        assertFails(IllegalArgumentException.class, () -> trainer(rows, List.of()), "training rows: " + message);
        assertFails(IllegalArgumentException.class, () -> trainer(rows.subList(0, 10), rows.subList(10, 11)), "held-out rows: " + message);
        assertFails(IllegalArgumentException.class, () -> HeldOutLoss.of(model, rows), "held-out rows: " + message);
    }

    @Test
    void rowsAndBatchesMadeByHand() {
        for (int id : new int[] {VOCABULARY, -1, Integer.MAX_VALUE}) {
            assertFails(IllegalArgumentException.class, () -> trainer(List.of(GOOD, new TokenizedRow(new int[] {1, 2, id}, 1)), List.of()), "training rows: row 2: token " + id + ", at place 3");
            assertFails(IllegalArgumentException.class, () -> model.loss(TokenBatch.of(new int[] {1, id}, new int[] {-100, 1}, Sequences.ofLengths(2))), "batch: inputIds: token " + id + ", at place 2");
        }
        for (int label : new int[] {VOCABULARY, -1, -99}) {
            assertFails(IllegalArgumentException.class, () -> model.loss(TokenBatch.of(new int[] {1, 2}, new int[] {-100, label}, Sequences.ofLengths(2))),
                    "batch: the label at place 2 is " + label + ", it must be a token's id, below the 263 rows of the model's embedding, or -100");
        }
    }

    @Test
    void prompts() {
        Generator generator = new Generator(model, GenerationConfig.defaults(), java.util.Set.of());
        assertFails(IllegalArgumentException.class, () -> generator.generate(1, VOCABULARY), "generation: prompt: token 263, at place 2", MUST);
        Assistant assistant = Assistant.of(model, SupervisedTokenizer.of(tokenizer));
        assertFails(IllegalArgumentException.class, () -> assistant.answer(InstructionRow.of("Use <|tool|>", "")), "prompt: token 264 \"<|tool|>\" of the tokenizer's 265, at place ", MUST);
    }

    @Test
    void rowsThatTrainNothing() throws IOException {
        TokenizedRow unlabelled = new TokenizedRow(new int[] {1, 2}, 2);
        assertFails(IllegalArgumentException.class, () -> trainer(List.of(unlabelled), List.of()), "none of 1 rows has a labelled token");
        assertFails(IllegalArgumentException.class, () -> trainer(List.of(GOOD), List.of(unlabelled, unlabelled)), "none of 2 held-out rows has a labelled token");
        assertFails(IllegalArgumentException.class, () -> new TokenizedRow(new int[0], 0), "it must not be empty");
        List<String> told = new ArrayList<>();
        TokenizedRow longer = new TokenizedRow(new int[130], 1);
        List<TrainEvent> events = new ArrayList<>();
        try (CausalLm trained = TinyModel.llama().with("max_position_embeddings", 128).open(ops, 1)) {
            SftConfig config = SftConfig.defaults().withBatchSize(2).withMaxSteps(1);
            new SftTrainer(new TrainedWeights.OfModel(trained), List.of(GOOD, unlabelled, longer), List.of(GOOD, unlabelled), config, null).train(events::add);
        }
        for (TrainEvent event : events) {
            if (event instanceof TrainEvent.Noticed(String notice)) {
                told.add(notice);
            }
        }
        assertEquals(List.of("training rows: 1 of 3 rows has no labelled token and is left out",
                "training rows: 1 row is longer than the 128 positions that the model was made for (max_position_embeddings), the longest has 130 tokens; a smaller maxLength cuts them",
                "held-out rows: 1 of 2 rows has no labelled token and is left out"), told);
        assertFalse(events.getFirst() instanceof TrainEvent.Started, "told before the first step");
    }
}
