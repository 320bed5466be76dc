package jqlora.data;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import jqlora.format.JsonFileException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The small model's tokenizer, and rows made with it: where labels begin, what limits cut. */
class TokenizerTest {
    private static final Path MODEL = Path.of("models/jqlora-tiny");
    private static final InstructionRow ROW = new InstructionRow("Name the colour of the sky.", "It is noon.", "The sky is blue at noon.");

    private static TextTokenizer tokenizer;

    @TempDir
    private Path folder;

    @BeforeAll
    static void open() throws IOException {
        tokenizer = TextTokenizer.open(MODEL);
    }

    @AfterAll
    static void close() {
        tokenizer.close();
    }

    // ---- text

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "a", "The quick brown fox.", "  two  spaces\n\n\tand a tab ", "你好，世界。", "emoji 😀 and accents: é ü ñ", "x = 1; // {instruction}"})
    void decodesWhatItEncodes(String text) {
        assertEquals(text, tokenizer.decode(tokenizer.encode(text)));
    }

    /** None is put before or behind; one that stands in the text is one token, and decoding leaves it out unless it is asked for. */
    @Test
    void specialTokens() {
        int[] plain = tokenizer.encode("hello"), marked = tokenizer.encode("hello<|endoftext|>");
        assertArrayEquals(plain, Arrays.copyOf(marked, plain.length));
        assertEquals(plain.length + 1, marked.length);
        assertEquals(tokenizer.eosId(), marked[plain.length]);
        assertEquals("hello", tokenizer.decode(marked));
        assertEquals("hello<|endoftext|>", tokenizer.decodeWithSpecialTokens(marked));
        assertEquals(Set.of(tokenizer.eosId()), tokenizer.stopIds());
    }

    private Path copy(String... without) throws IOException {
        for (String name : List.of("tokenizer.json", "tokenizer_config.json", "generation_config.json")) {
            if (!List.of(without).contains(name)) {
                Files.copy(MODEL.resolve(name), folder.resolve(name));
            }
        }
        return folder;
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {"{\"eos_token_id\": [5, 7]}|5,7,0", "{\"eos_token_id\": 9}|9,0", "{\"eos_token_id\": null}|0", "{}|0"})
    void stopTokensOfTheGenerationConfig(String config, String expected) throws IOException {
        Files.writeString(copy("generation_config.json").resolve("generation_config.json"), config);
        try (TextTokenizer opened = TextTokenizer.open(folder)) {
            assertEquals(Arrays.stream(expected.split(",")).map(Integer::valueOf).toList(), List.copyOf(opened.stopIds()));
        }
    }

    @Test
    void filesThatAreMissingOrWrong() throws IOException {
        assertFails(IOException.class, () -> TextTokenizer.open(folder), folder.resolve("tokenizer.json") + ": does not exist", "vocab.json");
        Files.writeString(folder.resolve("tokenizer.json"), "{\"version\": \"1.0\"}");
        assertFails(IOException.class, () -> TextTokenizer.open(folder), folder.resolve("tokenizer.json") + ": is not a tokenizer that can be read: ");
        Files.delete(folder.resolve("tokenizer.json"));
        Path config = copy("tokenizer_config.json").resolve("tokenizer_config.json");
        assertFails(JsonFileException.class, () -> TextTokenizer.open(folder), config + ": does not exist");
        Files.writeString(config, "{\"eos_tokens\": \"x\"}");
        assertFails(JsonFileException.class, () -> TextTokenizer.open(folder), config + ": eos_token is missing, it must be a string; near it: \"eos_tokens\"");
        Files.writeString(config, "{\"eos_token\": \"not one token of any vocabulary\"}");
        assertFails(JsonFileException.class, () -> TextTokenizer.open(folder), config + ": eos_token is \"not one token of any vocabulary\", it must be one token of the vocabulary; it is ");
        Files.writeString(config, "{\"eos_token\": {\"content\": \"<|endoftext|>\"}}");
        Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [1.5]}");
        assertFails(JsonFileException.class, () -> TextTokenizer.open(folder), "generation_config.json: eos_token_id[0] is 1.5, it must be an integer");
    }

    // ---- rows

    private static TokenizedRow row(LengthLimits limits) {
        return SupervisedTokenizer.of(tokenizer).withLimits(limits).tokenize(List.of(ROW)).rows().getFirst();
    }

    private static int[] prompt() {
        return tokenizer.encode(PromptTemplate.alpaca().prompt(ROW));
    }

    private static int[] answerAndEnd() {
        int[] answer = tokenizer.encode(ROW.output()), withEnd = Arrays.copyOf(answer, answer.length + 1);
        withEnd[answer.length] = tokenizer.eosId();
        return withEnd;
    }

    private static int[] joined(int[] first, int[] second) {
        int[] both = Arrays.copyOf(first, first.length + second.length);
        System.arraycopy(second, 0, both, first.length, second.length);
        return both;
    }

    /** Prompt and answer tokenized each by itself, the end token behind the answer, labels on the answer and the end token. */
    @Test
    void promptAnswerEnd() {
        TokenizedRow row = row(LengthLimits.defaults());
        assertArrayEquals(joined(prompt(), answerAndEnd()), row.ids());
        assertEquals(prompt().length, row.labelledFrom());
        assertEquals(answerAndEnd().length, row.labelledTokens());
        assertArrayEquals(prompt(), SupervisedTokenizer.of(tokenizer).prompt(ROW), "a model is asked with the very tokens that it was trained on");
    }

    /** qlora.py's truncation: a prompt keeps its beginning; an answer that is cut has no end token; both together are cut from the answer's end. */
    @Test
    void whatLimitsCut() {
        int[] prompt = prompt(), answer = answerAndEnd();
        LengthLimits limits = LengthLimits.defaults();
        TokenizedRow shortPrompt = row(limits.withSourceMaxLen(10));
        assertArrayEquals(joined(Arrays.copyOf(prompt, 10), answer), shortPrompt.ids());
        assertEquals(10, shortPrompt.labelledFrom());
        assertArrayEquals(Arrays.copyOf(prompt, 10), SupervisedTokenizer.of(tokenizer).withLimits(limits.withSourceMaxLen(10)).prompt(ROW));
        TokenizedRow shortAnswer = row(limits.withTargetMaxLen(answer.length - 1));
        assertArrayEquals(joined(prompt, Arrays.copyOf(answer, answer.length - 1)), shortAnswer.ids());
        assertFalse(shortAnswer.ids()[shortAnswer.length() - 1] == tokenizer.eosId(), "a cut answer does not end");
        assertArrayEquals(joined(prompt, answer), row(limits.withTargetMaxLen(answer.length)).ids(), "the end token counts");
        TokenizedRow together = row(limits.withMaxLength(prompt.length + 2));
        assertArrayEquals(joined(prompt, Arrays.copyOf(answer, 2)), together.ids());
        assertEquals(prompt.length, together.labelledFrom());
    }

    @Test
    void theReportOfWhatWasCut() {
        int answer = answerAndEnd().length;
        InstructionRow brief = InstructionRow.of("Say a.", "a");
        SupervisedTokenizer rows = SupervisedTokenizer.of(tokenizer).withLimits(LengthLimits.defaults().withSourceMaxLen(prompt().length - 1).withTargetMaxLen(4));
        TokenizedSet set = rows.tokenize(List.of(ROW, brief, ROW));
        assertEquals(2, set.promptsCut());
        assertEquals(2, set.answersCut());
        assertEquals(2L * (answer - 4), set.answerTokensLost());
        assertEquals(set.rows().stream().mapToLong(TokenizedRow::length).sum(), set.tokens());
        assertTrue(set.toString().startsWith("3 rows, " + set.tokens() + " tokens, " + set.labelledTokens() + " labelled, 2 answers cut"), set.toString());
    }

    @Test
    void rowsThatLeaveNothingToTrainOn() {
        SupervisedTokenizer rows = SupervisedTokenizer.of(tokenizer).withLimits(new LengthLimits(12, 256, 12));
        assertFails(IllegalArgumentException.class, () -> rows.tokenize(List.of(ROW)), "row 1: its prompt of 12 tokens leaves none of 12 for the answer");
        assertFails(IllegalArgumentException.class, () -> SupervisedTokenizer.of(tokenizer).withLimits(new LengthLimits(80, 256, 80))
                .tokenize(List.of(InstructionRow.of("Hi", "a"), new InstructionRow("word ".repeat(200), "", "a"))), "row 2: its prompt of 80 tokens");
        assertFails(IllegalArgumentException.class, () -> new LengthLimits(0, 256, 512), "length limits: sourceMaxLen 0, targetMaxLen 256, maxLength 512 must be at least 1, 1 and 2");
        assertFails(IllegalArgumentException.class, () -> new LengthLimits(8, 0, 512), "targetMaxLen 0");
        assertFails(IllegalArgumentException.class, () -> new LengthLimits(8, 8, 1), "maxLength 1");
    }

    // ---- templates

    @Test
    void alpacaOfQlora() {
        assertEquals("Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n"
                + "### Instruction:\nI\n\n### Input:\nX\n\n### Response: ", PromptTemplate.alpaca().prompt(new InstructionRow("I", "X", "")));
        assertEquals("Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nI\n\n### Response: ",
                PromptTemplate.alpaca().prompt(InstructionRow.of("I", "")));
    }

    /** Braces in a row are text: what stands for a part is looked for in the template alone. */
    @Test
    void rowsWithBraces() {
        PromptTemplate template = new PromptTemplate("{x} {instruction} {} {input} {", "{instruction}{instruction}");
        assertEquals("{x} {input} {} {instruction} {", template.prompt(new InstructionRow("{input}", "{instruction}", "")));
        assertEquals("{a}{a}", template.prompt(InstructionRow.of("{a}", "")));
    }

    @Test
    void templatesThatLeaveSomethingOut() {
        for (String[] wrong : new String[][] {{"{instruction}", "{instruction}"}, {"{input}", "{instruction}"}, {"{instruction} {input}", "{input}"}}) {
            assertFails(IllegalArgumentException.class, () -> new PromptTemplate(wrong[0], wrong[1]), "prompt template: it must contain {instruction}, and {input} where there is one");
        }
    }
}
