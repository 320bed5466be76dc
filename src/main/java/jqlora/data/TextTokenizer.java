package jqlora.data;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import jqlora.format.HfConfig;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;

/** A model's own tokenizer, from its folder: {@code tokenizer.json}, and {@code tokenizer_config.json} for the special tokens. */
public final class TextTokenizer implements AutoCloseable {
    private static final String TOKENIZER = "tokenizer.json", TOKENIZER_CONFIG = "tokenizer_config.json", GENERATION_CONFIG = "generation_config.json";

    private final HuggingFaceTokenizer tokenizer;
    private final int eosId;
    private final Set<Integer> stopIds;

    private TextTokenizer(HuggingFaceTokenizer tokenizer, int eosId, Set<Integer> stopIds) {
        this.tokenizer = tokenizer;
        this.eosId = eosId;
        this.stopIds = stopIds;
    }

    /**
     * Opens the tokenizer of the model in {@code folder}.
     *
     * @throws IOException if {@code tokenizer.json} is missing or malformed, or the end-of-sequence token is not known
     */
    public static TextTokenizer open(Path folder) throws IOException {
        Path file = folder.resolve(TOKENIZER);
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + ": does not exist, a model's folder must have it; older folders have only vocab.json or tokenizer.model:"
                    + " load and save them once with a current transformers");
        }
        HuggingFaceTokenizer tokenizer;
        try (InputStream json = Files.newInputStream(file)) {
            tokenizer = HuggingFaceTokenizer.newInstance(json, Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false"));
        } catch (RuntimeException malformed) {
            throw new IOException(file + ": is not a tokenizer that can be read: " + malformed.getMessage(), malformed);
        }
        try {
            int eosId = eosId(folder, tokenizer);
            return new TextTokenizer(tokenizer, eosId, stopIds(folder, eosId));
        } catch (IOException | RuntimeException failed) {
            tokenizer.close();
            throw failed;
        }
    }

    private static int eosId(Path folder, HuggingFaceTokenizer tokenizer) throws IOException {
        JsonView config = JsonView.read(folder.resolve(TOKENIZER_CONFIG));
        String token = config.isObject("eos_token") ? config.object("eos_token").text("content") : config.text("eos_token");
        long[] ids = tokenizer.encode(token, false, false).getIds();
        if (ids.length != 1) {
            throw config.fault("eos_token", "one token of the vocabulary; it is " + ids.length);
        }
        return (int) ids[0];
    }

    /** What ends an answer: the ids of {@code generation_config.json} or {@code config.json}, and the tokenizer's own. */
    private static Set<Integer> stopIds(Path folder, int eosId) throws IOException {
        Set<Integer> ids = new LinkedHashSet<>();
        for (String name : new String[] {GENERATION_CONFIG, HfConfig.FILE}) {
            if (ids.isEmpty() && Files.isRegularFile(folder.resolve(name))) {
                addIds(JsonView.read(folder.resolve(name)), ids);
            }
        }
        ids.add(eosId);
        return ids;
    }

    private static void addIds(JsonView config, Set<Integer> ids) throws JsonFileException {
        if (!config.has("eos_token_id")) {
            return;
        }
        if (config.isArray("eos_token_id")) {
            Arrays.stream(config.wholes("eos_token_id")).forEach(id -> ids.add((int) id));
        } else {
            ids.add((int) config.whole("eos_token_id"));
        }
    }

    /** The ids of {@code text}, special tokens in it recognised, none added. */
    public int[] encode(String text) {
        return Arrays.stream(tokenizer.encode(text, false, false).getIds()).mapToInt(id -> (int) id).toArray();
    }

    /** The text of {@code ids}, special tokens left out. */
    public String decode(int... ids) {
        return tokenizer.decode(Arrays.stream(ids).asLongStream().toArray(), true);
    }

    /** The text of {@code ids}, special tokens shown. */
    public String decodeWithSpecialTokens(int... ids) {
        return tokenizer.decode(Arrays.stream(ids).asLongStream().toArray(), false);
    }

    /** The id that ends a sequence: it is put behind every answer that is trained on. */
    public int eosId() {
        return eosId;
    }

    /** The ids at which generation stops; {@link #eosId} is one of them. */
    public Set<Integer> stopIds() {
        return java.util.Collections.unmodifiableSet(stopIds);
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
