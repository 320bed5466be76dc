package jqlora.generate;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import jqlora.Oracle;
import jqlora.format.SafetensorsFile;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.Sampler;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Decoding against transformers: the tokens of generate, the scores that its warpers leave; and what stops a generation. */
class DecodingTest {
    private static CpuOps ops;
    private static CausalLm model;
    private static JsonObject generated;
    private static int[] prompt;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        model = ModelLoader.load(Oracle.path("decoding/model"), LoadOptions.asStored(), ops, LoadListener.SILENT);
        generated = Oracle.json(Oracle.path("decoding/generate.json"));
        prompt = ints(generated.getAsJsonArray("prompt"));
    }

    @AfterAll
    static void close() {
        model.close();
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after the model is closed");
        ops.close();
    }

    private static int[] ints(JsonArray array) {
        return array.asList().stream().mapToInt(element -> element.getAsInt()).toArray();
    }

    private static int[] greedy(int maxNewTokens, Integer... stopIds) {
        return new Generator(model, GenerationConfig.defaults().withMaxNewTokens(maxNewTokens), Set.of(stopIds)).generate(prompt);
    }

    /** What follows the prompt in a case of transformers. */
    private static int[] expected(String name) {
        int[] tokens = ints(generated.getAsJsonObject("cases").getAsJsonObject(name).getAsJsonArray("tokens"));
        assertArrayEquals(prompt, Arrays.copyOf(tokens, prompt.length));
        return Arrays.copyOfRange(tokens, prompt.length, tokens.length);
    }

    // ---- generation

    @Test
    void greedyTokensOfTransformers() {
        assertArrayEquals(expected("greedy"), greedy(16));
        JsonArray eos = generated.getAsJsonObject("cases").getAsJsonObject("eos").getAsJsonObject("args").getAsJsonArray("eos_token_id");
        assertArrayEquals(expected("eos"), greedy(16, Arrays.stream(ints(eos)).boxed().toArray(Integer[]::new)));
    }

    /** The stop token is the last one; what would follow it is not computed. */
    @Test
    void stopsAtTheFirstStopTokenAndAtTheLimit() {
        int[] all = expected("greedy");
        int stop = all[5], first = IntStream.range(0, all.length).filter(i -> all[i] == stop).findFirst().orElseThrow();
        assertArrayEquals(Arrays.copyOf(all, first + 1), greedy(16, 198, stop));
        assertArrayEquals(Arrays.copyOf(all, 3), greedy(3));
        assertArrayEquals(Arrays.copyOf(all, 1), greedy(1));
    }

    @Test
    void theListenerHearsEachTokenAndAnInterruptEnds() {
        List<Integer> heard = new ArrayList<>();
        int[] made = new Generator(model, GenerationConfig.defaults().withMaxNewTokens(16), Set.of()).generate(prompt, token -> {
            heard.add(token);
            if (heard.size() == 4) {
                Thread.currentThread().interrupt();
            }
        });
        assertTrue(Thread.interrupted(), "the flag stays");
        assertArrayEquals(Arrays.copyOf(expected("greedy"), 4), made);
        assertEquals(Arrays.stream(made).boxed().toList(), heard);
    }

    /** The seed settles a sampled text; another gives another; nothing is left over from one generation to the next. */
    @Test
    void sampledTextsAreThoseOfTheirSeed() {
        GenerationConfig config = GenerationConfig.defaults().withMaxNewTokens(12).withSampler(new Sampler.Random(1, 0, 1));
        Set<String> texts = new LinkedHashSet<>();
        for (long seed = 0; seed < 4; seed++) {
            int[] made = new Generator(model, config.withSeed(seed), Set.of()).generate(prompt);
            assertArrayEquals(made, new Generator(model, config.withSeed(seed), Set.of()).generate(prompt));
            texts.add(Arrays.toString(made));
        }
        assertEquals(4, texts.size(), "texts of four seeds");
        assertArrayEquals(expected("greedy"), new Generator(model, GenerationConfig.defaults().withMaxNewTokens(16).withSampler(new Sampler.Random(1, 1, 1)), Set.of()).generate(prompt),
                "the highest of one");
    }

    @Test
    void errors() {
        assertFails(IllegalArgumentException.class, () -> new Generator(model, GenerationConfig.defaults(), Set.of()).generate(), "generation: the prompt has no token");
        assertFails(IllegalArgumentException.class, () -> GenerationConfig.defaults().withMaxNewTokens(0), "generation: maxNewTokens is 0, it must be at least 1");
    }

    @ParameterizedTest
    @CsvSource({"0, 0, 1", "-1, 0, 1", "NaN, 0, 1", "1, -1, 1", "1, 0, 0", "1, 0, 1.1", "1, 0, NaN"})
    void samplersThatMakeNoSense(double temperature, int topK, double topP) {
        assertFails(IllegalArgumentException.class, () -> new Sampler.Random(temperature, topK, topP), "sampling: temperature " + temperature + ", topK " + topK + ", topP " + topP);
    }

    // ---- scores

    /** transformers divides in float32, we in double: a unit in the last place. What is out is out exactly. */
    @ParameterizedTest
    @CsvSource({"temperature_0.7, 0.7, 0, 1", "top_k_5, 1, 5, 1", "top_p_0.8, 1, 0, 0.8"})
    void warpersOfTransformers(String name, double temperature, int topK, double topP) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(Oracle.path("decoding/warpers.safetensors"))) {
            float[] scores = file.get("logits").toFloats(), expected = file.get(name).toFloats();
            int vocab = (int) file.get("logits").shape().dim(1);
            for (int from = 0; from < scores.length; from += vocab) {
                float[] row = Arrays.copyOfRange(scores, from, from + vocab), before = row.clone();
                assertClose(name, Sampler.warped(row, new Sampler.Random(temperature, topK, topP)), Arrays.copyOfRange(expected, from, from + vocab), 0x1p-23, 0);
                assertArrayEquals(before, row, "the scores given are read only");
            }
        }
    }

    @Test
    void limitsThatLimitNothingOrLeaveOne() {
        float[] scores = {1, 5, 3, 5, -2};
        assertArrayEquals(scores, Sampler.warped(scores, new Sampler.Random(1, 0, 1)));
        assertArrayEquals(scores, Sampler.warped(scores, new Sampler.Random(1, 99, 1)), "more than there are");
        assertEquals(2, stays(Sampler.warped(scores, new Sampler.Random(1, 1, 1))), "equal scores stay together under top k, as in transformers");
        assertEquals(1, stays(Sampler.warped(scores, new Sampler.Random(1, 0, 1e-9))), "the highest always stays");
    }

    private static long stays(float[] warped) {
        return IntStream.range(0, warped.length).filter(i -> warped[i] > Float.NEGATIVE_INFINITY).count();
    }

    @Test
    void greedyTakesTheLowestOfEqualScores() {
        assertEquals(1, new Sampler.Greedy().next(new float[] {1, 5, 3, 5, -2}, 0));
    }

    /** Frequencies of many draws are the probabilities, within five standard deviations; what is out never comes. */
    @Test
    void drawsByProbability() {
        float[] scores = {0, 2, 1, -1, 3, -30};
        Sampler.Random sampler = new Sampler.Random(1.5, 4, 1);
        int draws = 40_000;
        int[] counts = new int[scores.length];
        Random random = new Random(4);
        for (int i = 0; i < draws; i++) {
            counts[sampler.next(scores, random.nextDouble())]++;
        }
        double sum = 0;
        for (int token : new int[] {0, 1, 2, 4}) {
            sum += Math.exp(scores[token] / 1.5);
        }
        for (int token : new int[] {0, 1, 2, 4}) {
            double share = Math.exp(scores[token] / 1.5) / sum;
            assertEquals(share, (double) counts[token] / draws, 5 * Math.sqrt(share * (1 - share) / draws), "token " + token);
        }
        assertFalse(counts[3] > 0 || counts[5] > 0, "tokens beyond top k: " + Arrays.toString(counts));
    }
}
