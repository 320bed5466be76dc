package jqlora.data;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import jqlora.format.JsonFileException;

/**
 * A model's own tokenizer, from its folder: {@code tokenizer.json}, and for the special tokens {@code tokenizer_config.json},
 * {@code special_tokens_map.json}, {@code added_tokens.json}, {@code generation_config.json} and {@code config.json}, as transformers 5
 * reads them.
 *
 * <p>What a text begins and ends with is what the post-processor of {@code tokenizer.json} adds. The flags {@code add_bos_token} and {@code
 * add_eos_token} of {@code tokenizer_config.json} change nothing where there is a {@code tokenizer.json}: transformers 5 takes them out
 * before it builds a tokenizer (tokenization_utils_base.py, _from_pretrained), where version 4 made a new post-processor from them for some
 * classes. Where the two differ, {@link #notices} says so.
 */
public final class TextTokenizer implements AutoCloseable {
    private static final String PROBE = "a";

    private final HuggingFaceTokenizer tokenizer;
    private final int size;
    private final int eosId;
    private final Set<Integer> stopIds;
    private final List<Integer> beginning;
    private final List<Integer> ending;
    private final List<String> notices;

    private TextTokenizer(HuggingFaceTokenizer tokenizer, int size, EndToken end, List<Integer> stopIds, SpecialTokens special)
            throws IOException {
        this.tokenizer = tokenizer;
        this.size = size;
        this.eosId = end.id();
        this.stopIds = new LinkedHashSet<>(stopIds);
        this.stopIds.add(eosId);
        Encoding probe = tokenizer.encode(PROBE, true, false);
        long[] ids = probe.getIds(), added = probe.getSpecialTokenMask();
        int from = 0, to = ids.length;
        while (from < ids.length && added[from] != 0) {
            from++;
        }
        while (to > from && added[to - 1] != 0) {
            to--;
        }
        this.beginning = Arrays.stream(ids, 0, from).mapToObj(id -> (int) id).toList();
        this.ending = Arrays.stream(ids, to, ids.length).mapToObj(id -> (int) id).toList();
        this.notices = new ArrayList<>(end.notices());
        flagNotice(special, "add_bos_token", "in front of", !beginning.isEmpty(), special.text(SpecialTokens.BOS)).ifPresent(notices::add);
        flagNotice(special, "add_eos_token", "behind", !ending.isEmpty(), special.text(SpecialTokens.EOS)).ifPresent(notices::add);
    }

    /**
     * Opens the tokenizer of the model in {@code folder}.
     *
     * @throws IOException if {@code tokenizer.json} is missing or malformed, or the end-of-sequence token is not known
     */
    public static TextTokenizer open(Path folder) throws IOException {
        TokenizerJson json = TokenizerJson.read(folder);
        SpecialTokens special = SpecialTokens.read(folder);
        TokenizerJson whole = json.with(special.added());
        HuggingFaceTokenizer tokenizer = open(whole);
        try {
            List<Integer> stopIds = SpecialTokens.stopIds(folder);
            EndToken end = EndToken.find(folder, special, json.with(special.declared()), stopIds);
            return new TextTokenizer(tokenizer, whole.size(), end, stopIds, special);
        } catch (IOException | RuntimeException failed) {
            tokenizer.close();
            throw failed;
        }
    }

    private static HuggingFaceTokenizer open(TokenizerJson json) throws IOException {
        try (InputStream bytes = new ByteArrayInputStream(json.text().getBytes(StandardCharsets.UTF_8))) {
            return HuggingFaceTokenizer.newInstance(bytes, Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false"));
        } catch (RuntimeException malformed) {
            throw new JsonFileException(json.values().file(), "is not a tokenizer that can be read: " + malformed.getMessage()
                    + "; save it again with a current transformers (AutoTokenizer.from_pretrained and save_pretrained)");
        }
    }

    /** What a flag of the configuration says against the post-processor. */
    private static Optional<String> flagNotice(SpecialTokens special, String flag, String where, boolean adds, Optional<String> token)
            throws IOException {
        if (!special.config().has(flag) || special.config().flag(flag) == adds) {
            return Optional.empty();
        }
        return Optional.of(special.config().file() + ": " + flag + " is " + !adds + ", but the post-processor of " + TokenizerJson.FILE
                + " puts " + (adds ? "a" : "no") + " token " + where
                + " a text; rows are made as the post-processor says, as in transformers 5 (version 4 went by the flag for Llama, Gemma,"
                + " Cohere and GPT-NeoX tokenizers); to have it"
                + " otherwise, " + (adds ? "take it out of the post-processor" : "write " + token.orElse("the token")
                + " into the prompt template, or add it to the post-processor"));
    }

    /** The ids of {@code text}, special tokens in it recognised, none added. */
    public int[] encode(String text) {
        return toInts(tokenizer.encode(text, false, false));
    }

    /** The ids of {@code text} with what the tokenizer's post-processor adds, as a plain call of a tokenizer in transformers gives them. */
    public int[] encodeWithSpecialTokens(String text) {
        return toInts(tokenizer.encode(text, true, false));
    }

    private static int[] toInts(Encoding encoding) {
        return Arrays.stream(encoding.getIds()).mapToInt(id -> (int) id).toArray();
    }

    /** The text of {@code ids}, special tokens left out. */
    public String decode(int... ids) {
        return tokenizer.decode(Arrays.stream(ids).asLongStream().toArray(), true);
    }

    /** The text of {@code ids}, special tokens shown. */
    public String decodeWithSpecialTokens(int... ids) {
        return tokenizer.decode(Arrays.stream(ids).asLongStream().toArray(), false);
    }

    /**
     * What a token is called in messages, such as {@code 260 "<|tool|>" of 261}; its number alone where the tokenizer has none of that
     * number, or is closed.
     */
    public String describe(int id) {
        try {
            return id < 0 || id >= size ? Integer.toString(id) : id + " \"" + decodeWithSpecialTokens(id) + "\" of the tokenizer's " + size;
        } catch (IllegalStateException closed) {
            return Integer.toString(id);
        }
    }

    /** The ids that the post-processor puts in front of a text, such as that of {@code <s>}; often none. */
    public List<Integer> beginning() {
        return beginning;
    }

    /** The ids that the post-processor puts behind a text; nearly always none. */
    public List<Integer> ending() {
        return ending;
    }

    /** One more than the highest id. */
    public int size() {
        return size;
    }

    /** The id that ends a sequence: it is put behind every answer that is trained on. */
    public int eosId() {
        return eosId;
    }

    /** The ids at which generation stops; {@link #eosId} is one of them. */
    public Set<Integer> stopIds() {
        return Collections.unmodifiableSet(stopIds);
    }

    /** Where the files of the tokenizer say different things, what was taken; a sentence each. */
    public List<String> notices() {
        return Collections.unmodifiableList(notices);
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
