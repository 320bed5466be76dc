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
        Path config = copy("tokenizer_config.json", "generation_config.json").resolve("tokenizer_config.json");
        String nothing = folder + ": no file says which token ends an answer: neither eos_token in tokenizer_config.json or special_tokens_map.json nor eos_token_id in ";
        assertFails(JsonFileException.class, () -> TextTokenizer.open(folder), nothing, config + ": eos_token is missing");
        Files.writeString(config, "{\"eos_tokens\": \"x\"}");
        assertFails(JsonFileException.class, () -> TextTokenizer.open(folder), nothing, "eos_token is missing", "near it: \"eos_tokens\"");
        Files.writeString(config, "{\"eos_token\": null}");
        assertFails(JsonFileException.class, () -> TextTokenizer.open(folder), nothing, "eos_token is null, it must be the token that ends an answer");
        Files.writeString(config, "{\"eos_token\": 3}");
        assertFails(JsonFileException.class, () -> TextTokenizer.open(folder), config + ": eos_token is 3, it must be a token, as a string or as an object with content");
        Files.writeString(config, "{\"eos_token\": \"not one token of any vocabulary\"}");
        assertFails(JsonFileException.class, () -> TextTokenizer.open(folder), config + ": eos_token is \"not one token of any vocabulary\", it must be one token of the vocabulary of ");
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
        LengthLimits cut = limits.withSourceMaxLen(10).withLostQuestion(LengthLimits.LostQuestion.KEPT);
        TokenizedRow shortPrompt = row(cut);
        assertArrayEquals(joined(Arrays.copyOf(prompt, 10), answer), shortPrompt.ids());
        assertEquals(10, shortPrompt.labelledFrom());
        assertArrayEquals(Arrays.copyOf(prompt, 10), SupervisedTokenizer.of(tokenizer).withLimits(cut).prompt(ROW));
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
        SupervisedTokenizer rows = SupervisedTokenizer.of(tokenizer).withLimits(new LengthLimits(12, 256, 12, LengthLimits.LostQuestion.KEPT));
        assertFails(IllegalArgumentException.class, () -> rows.tokenize(List.of(ROW)), "row 1: its prompt of 12 tokens leaves none of 12 for the answer");
        assertFails(IllegalArgumentException.class, () -> SupervisedTokenizer.of(tokenizer).withLimits(new LengthLimits(80, 256, 80, LengthLimits.LostQuestion.KEPT))
                .tokenize(List.of(InstructionRow.of("Hi", "a"), new InstructionRow("word ".repeat(200), "", "a"))), "row 2: its prompt of 80 tokens");
        assertFails(IllegalArgumentException.class, () -> new LengthLimits(0, 256, 512), "length limits: sourceMaxLen 0, targetMaxLen 256, maxLength 512 must be at least 1, 1 and 2");
        assertFails(IllegalArgumentException.class, () -> new LengthLimits(8, 0, 512), "targetMaxLen 0");
        assertFails(IllegalArgumentException.class, () -> new LengthLimits(8, 8, 1), "maxLength 1");
    }

    /** A prompt that is cut keeps some of what asks for the answer, or it is refused with its place; one that is long in its earlier turns loses those first. */
    @Test
    void promptsThatLoseTheQuestion() throws IOException {
        int whole = prompt().length, head = tokenizer.encode(PromptTemplate.alpaca().prompt(ROW).split("### Response:")[0]).length;
        LengthLimits limits = LengthLimits.defaults();
        for (int kept : new int[] {1, 10, head}) {
            SupervisedTokenizer rows = SupervisedTokenizer.of(tokenizer).withLimits(limits.withSourceMaxLen(kept));
            assertFails(IllegalArgumentException.class, () -> rows.tokenize(List.of(InstructionRow.of("a", "b"), ROW).reversed()), "row 1: instruction is too long: the prompt has " + whole
                    + " tokens, and sourceMaxLen, " + kept + ", cuts all of \"### Response:\" from its end", "set sourceMaxLen to at least " + whole);
            assertFails(IllegalArgumentException.class, () -> rows.prompt(ROW), "prompt: instruction is too long");
        }
        Path file = Files.writeString(folder.resolve("rows.jsonl"), "\n{\"instruction\": \"a\", \"input\": \"" + "word ".repeat(90) + "\", \"output\": \"b\"}\n");
        assertFails(IllegalArgumentException.class, () -> SupervisedTokenizer.of(tokenizer).withLimits(limits.withSourceMaxLen(90)).tokenize(InstructionFile.read(file)),
                file + ": line 2: input is too long");
        assertEquals(1, SupervisedTokenizer.of(tokenizer).withLimits(limits.withSourceMaxLen(whole - 1)).tokenize(List.of(ROW)).promptsCut());
        PromptTemplate bare = new PromptTemplate("{input} {instruction}", "{instruction}");
        assertEquals(3, SupervisedTokenizer.of(tokenizer).withTemplate(bare).withLimits(limits.withSourceMaxLen(3)).prompt(ROW).length);
    }

    // ---- system prompts and earlier turns

    private static final InstructionRow TALK = InstructionRow.of("And in French?", "Bonjour").withSystem("You translate.")
            .withHistory(List.of(new Turn("Say hello in German.", "Hallo"), new Turn("In Dutch?", "Hoi")));

    /** The system prompt stands where the template's own first lines do; each earlier answer ends with the end token; labels are on the last answer alone, or on all. */
    @Test
    void turnsAreThePromptOfTheNext() {
        String turn = "### Instruction:\n%s\n\n### Response: ";
        List<Segment> segments = PromptTemplate.alpaca().segments(TALK);
        assertEquals(List.of(new Segment("You translate.\n\n" + turn.formatted("Say hello in German."), Segment.Kind.PROMPT), new Segment("Hallo", Segment.Kind.EARLIER_ANSWER),
                new Segment("\n\n" + turn.formatted("In Dutch?"), Segment.Kind.PROMPT), new Segment("Hoi", Segment.Kind.EARLIER_ANSWER),
                new Segment("\n\n" + turn.formatted("And in French?"), Segment.Kind.PROMPT), new Segment("Bonjour", Segment.Kind.ANSWER)), segments);
        int[] expected = {}, end = {tokenizer.eosId()};
        for (Segment segment : segments) {
            expected = joined(expected, tokenizer.encode(segment.text()));
            expected = segment.kind() == Segment.Kind.PROMPT ? expected : joined(expected, end);
        }
        SupervisedTokenizer rows = SupervisedTokenizer.of(tokenizer);
        TokenizedRow last = rows.tokenize(List.of(TALK)).rows().getFirst();
        assertArrayEquals(expected, last.ids());
        int answer = tokenizer.encode("Bonjour").length + 1;
        assertEquals(answer, last.labelledTokens());
        assertEquals(last.length() - answer, last.labelledFrom());
        assertArrayEquals(Arrays.copyOf(expected, expected.length - answer), rows.prompt(TALK), "a model is asked with the turns before");
        TokenizedRow every = rows.withLearned(SupervisedTokenizer.Learned.EVERY_ANSWER).tokenize(List.of(TALK)).rows().getFirst();
        assertArrayEquals(expected, every.ids());
        assertEquals(answer + tokenizer.encode("Hallo").length + 1 + tokenizer.encode("Hoi").length + 1, every.labelledTokens());
        TokenizedRow whole = rows.withLearned(SupervisedTokenizer.Learned.EVERY_TOKEN).tokenize(List.of(TALK)).rows().getFirst();
        assertArrayEquals(expected, whole.ids());
        assertEquals(0, whole.labelledFrom());
        assertEquals(expected.length - 1, whole.labelledTokens(), "all but the first, which nothing predicts");
        StringBuilder learned = new StringBuilder();
        for (int i = 0; i < every.length(); i++) {
            assertEquals(every.isLearned(i) ? every.ids()[i] : TokenizedRow.IGNORE, every.labels()[i]);
            learned.append(every.isLearned(i) ? tokenizer.decodeWithSpecialTokens(every.ids()[i]) : "");
        }
        assertEquals("Hallo<|endoftext|>Hoi<|endoftext|>Bonjour<|endoftext|>", learned.toString());
    }

    @Test
    void theEarliestTurnsAreLeftOutWhereThereIsNoPlace() {
        SupervisedTokenizer rows = SupervisedTokenizer.of(tokenizer);
        InstructionRow without = TALK.withHistory(List.of()), one = TALK.withHistory(TALK.history().subList(1, 2));
        for (InstructionRow shorter : List.of(one, without)) {
            int place = rows.prompt(shorter).length;
            TokenizedSet set = rows.withLimits(LengthLimits.defaults().withSourceMaxLen(place)).tokenize(List.of(TALK, without));
            assertEquals(rows.tokenize(List.of(shorter)).rows().getFirst(), set.rows().getFirst());
            assertEquals(2 - shorter.history().size(), set.turnsLeftOut());
            assertEquals(0, set.promptsCut());
            assertTrue(set.toString().endsWith(set.turnsLeftOut() + " turns left out"), set.toString());
            assertTrue(set.notices().getFirst().startsWith(set.turnsLeftOut() == 1 ? "1 earlier turn is left out" : set.turnsLeftOut() + " earlier turns are left out"), set.notices().toString());
        }
    }

    /** Without a system prompt and turns a row is what it was; a template without an empty line has the system prompt in front. */
    @Test
    void systemPromptsInTemplates() {
        assertEquals("Be brief.\n\n### Instruction:\nI\n\n### Input:\nX\n\n### Response: ", PromptTemplate.alpaca().prompt(new InstructionRow("I", "X", "").withSystem("Be brief.")));
        PromptTemplate bare = new PromptTemplate("Q: {instruction} {input}\nA: ", "Q: {instruction}\nA: ");
        assertEquals("Be brief.\n\nQ: I\nA: ", bare.prompt(InstructionRow.of("I", "").withSystem("Be brief.")));
        assertEquals("Q: a\nA: b\n\nQ: I\nA: ", bare.prompt(InstructionRow.of("I", "").withHistory(List.of(new Turn("a", "b")))));
    }

    @Test
    void emptyAnswersAreCounted() {
        TokenizedSet set = SupervisedTokenizer.of(tokenizer).tokenize(List.of(InstructionRow.of("a", ""), InstructionRow.of("a", " \n"), ROW));
        assertEquals(2, set.answersEmpty());
        assertEquals(List.of("2 answers are empty: their rows teach the end token alone"), set.notices());
        TokenizedSet one = SupervisedTokenizer.of(tokenizer).tokenize(List.of(InstructionRow.of("a", ""), ROW));
        assertEquals(List.of("1 answer is empty: its row teaches the end token alone"), one.notices());
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
