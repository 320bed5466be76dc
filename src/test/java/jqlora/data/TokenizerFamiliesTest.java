package jqlora.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import jqlora.format.JsonView;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Tokenizers with the post-processors, flags and files of well-known families: the ids are those of transformers 5.17.0 ({@code fixtures/data/tokenizer_families.py} made
 * them), and training rows and prompts begin and end as those do.
 */
class TokenizerFamiliesTest {
    private static final Path FIXTURES = Path.of("src/test/resources/fixtures/data");
    private static final InstructionRow ROW = InstructionRow.of("Say hi", "hi");

    static Stream<JsonView> cases() throws IOException {
        return JsonView.read(FIXTURES.resolve("tokenizers.json")).objects("cases").stream();
    }

    private static TextTokenizer open(String name) throws IOException {
        return TextTokenizer.open(FIXTURES.resolve("tokenizers").resolve(name));
    }

    private static int[] ints(JsonView row, String key) throws IOException {
        return Arrays.stream(row.wholes(key)).mapToInt(Math::toIntExact).toArray();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void idsAreThoseOfTransformers(JsonView expected) throws IOException {
        String name = expected.text("name");
        try (TextTokenizer tokenizer = open(name)) {
            assertEquals(expected.whole("eos"), tokenizer.eosId(), name);
            for (JsonView row : expected.objects("rows")) {
                String text = row.text("text"), where = name + ": \"" + text + "\"";
                assertArrayEquals(ints(row, "plain"), tokenizer.encode(text), where);
                assertArrayEquals(ints(row, "ids"), tokenizer.encodeWithSpecialTokens(text), where);
                assertEquals(row.text("decoded"), tokenizer.decode(ints(row, "plain")), where);
            }
        }
    }

    /** What transformers puts in front of a text stands in front of a training row and of the prompt, once, and nothing else does. */
    @ParameterizedTest
    @MethodSource("cases")
    void rowsAndPromptsBeginAsThoseOfTransformers(JsonView expected) throws IOException {
        JsonView row = expected.objects("rows").getFirst();
        assertEquals("Say hi", row.text("text"));
        int[] plain = ints(row, "plain"), marked = ints(row, "ids");
        int front = 0;
        while (!Arrays.equals(plain, 0, plain.length, marked, front, front + plain.length)) {
            front++;
        }
        int[] prompt = Arrays.copyOf(marked, front + plain.length);
        try (TextTokenizer tokenizer = open(expected.text("name"))) {
            SupervisedTokenizer rows = SupervisedTokenizer.of(tokenizer).withTemplate(new PromptTemplate("{instruction}{input}", "{instruction}"));
            assertArrayEquals(prompt, rows.prompt(ROW));
            int[] answer = tokenizer.encode("hi"), whole = Arrays.copyOf(prompt, prompt.length + answer.length + 1);
            System.arraycopy(answer, 0, whole, prompt.length, answer.length);
            whole[whole.length - 1] = tokenizer.eosId();
            TokenizedRow trained = rows.tokenize(List.of(ROW)).rows().getFirst();
            assertArrayEquals(whole, trained.ids());
            assertEquals(prompt.length, trained.labelledFrom());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama2", "llama3", "gemma", "processor_adds_two", "processor_adds_both"})
    void whatATemplateWritesItselfIsNotWrittenAgain(String name) throws IOException {
        try (TextTokenizer tokenizer = open(name)) {
            String begin = tokenizer.decodeWithSpecialTokens(tokenizer.beginning().stream().mapToInt(Integer::intValue).toArray());
            SupervisedTokenizer rows = SupervisedTokenizer.of(tokenizer).withTemplate(new PromptTemplate(begin + "{instruction}{input}", begin + "{instruction}"));
            int[] ids = rows.prompt(ROW);
            assertArrayEquals(tokenizer.encode(begin + "Say hi"), ids);
            assertEquals(1, Arrays.stream(ids).filter(id -> id == tokenizer.beginning().getFirst()).count());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama2", "qwen2", "processor_adds_both", "roberta"})
    void anAnswerThatEndsItselfIsNotEndedAgain(String name) throws IOException {
        try (TextTokenizer tokenizer = open(name)) {
            String end = tokenizer.decodeWithSpecialTokens(tokenizer.eosId());
            SupervisedTokenizer rows = SupervisedTokenizer.of(tokenizer);
            assertEquals(rows.tokenize(List.of(ROW)).rows(), rows.tokenize(List.of(InstructionRow.of("Say hi", "hi" + end))).rows());
        }
    }

    /** The beginning counts as part of the prompt, and stays when its end is cut. */
    @Test
    void limitsCountTheBeginning() throws IOException {
        try (TextTokenizer tokenizer = open("llama2")) {
            SupervisedTokenizer rows = SupervisedTokenizer.of(tokenizer).withTemplate(new PromptTemplate("{instruction}{input}", "{instruction}"))
                    .withLimits(LengthLimits.defaults().withSourceMaxLen(2));
            assertArrayEquals(new int[] {1, 289}, rows.prompt(ROW));
            assertEquals(1, rows.tokenize(List.of(ROW)).promptsCut());
        }
    }

    @ParameterizedTest
    @CsvSource({"llama_flag_true_no_processor,add_bos_token is true,puts no token in front of a text", "flag_true_no_processor,add_bos_token is true,write <s> into the prompt template",
            "llama_flag_false_processor_adds,add_bos_token is false,puts a token in front of a text", "llama_eos_flag_true,add_eos_token is true,puts no token behind a text"})
    void flagsAgainstThePostProcessorAreTold(String name, String flag, String told) throws IOException {
        try (TextTokenizer tokenizer = open(name)) {
            String notice = String.join("\n", tokenizer.notices());
            assertTrue(notice.contains("tokenizer_config.json: " + flag) && notice.contains(told) && notice.contains("transformers 5"), notice);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama2", "llama3", "mistral", "gemma", "qwen2", "qwen3", "smollm2", "processor_adds_both", "only_in_map"})
    void whereFilesAgreeNothingIsTold(String name) throws IOException {
        try (TextTokenizer tokenizer = open(name)) {
            assertEquals(List.of(), tokenizer.notices());
        }
    }

    @Test
    void everyStopIdOfAList() throws IOException {
        try (TextTokenizer tokenizer = open("llama3")) {
            assertEquals(Set.of(261, 262), tokenizer.stopIds());
        }
    }

    /** The model that ships with the project puts nothing in front of a row, and nothing behind one but the end token. */
    @Test
    void theEmbeddedModelsRowsBeginWithTheirText() throws IOException {
        try (TextTokenizer tokenizer = TextTokenizer.open(Path.of("models/jqlora-tiny"))) {
            assertEquals(List.of(), tokenizer.beginning());
            assertEquals(List.of(), tokenizer.ending());
            assertEquals(List.of(), tokenizer.notices());
        }
    }
}
