package jqlora.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import jqlora.format.JsonView;
import jqlora.format.PythonJson;
import jqlora.format.Utf8File;

/**
 * {@code tokenizer.json}: its vocabulary, and the tokens that are looked for in a text before anything else is.
 *
 * @param text the file, or what it is with further tokens
 */
record TokenizerJson(JsonView values, String text) {
    static final String FILE = "tokenizer.json";

    /** @throws IOException if the file is missing or not a JSON object */
    static TokenizerJson read(Path folder) throws IOException {
        Path file = folder.resolve(FILE);
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + ": does not exist, a model's folder must have it; older folders have only vocab.json or"
                    + " tokenizer.model:"
                    + " load and save them once with a current transformers");
        }
        String text = Utf8File.read(file);
        return new TokenizerJson(JsonView.parse(file.toString(), text), text);
    }

    /**
     * This with those of {@code tokens} that it does not look for yet, as transformers adds them: one that is in the vocabulary keeps its
     * id, another gets the next one.
     */
    TokenizerJson with(List<AddedToken> tokens) throws IOException {
        Set<String> known = new HashSet<>();
        List<Object> all = new ArrayList<>();
        long highest = -1;
        for (JsonView token : added()) {
            known.add(token.text("content"));
            all.add(token);
            highest = Math.max(highest, token.whole("id"));
        }
        int before = all.size();
        for (AddedToken token : tokens) {
            if (known.add(token.content())) {
                OptionalInt inVocabulary = vocabularyId(token.content());
                long id = inVocabulary.isPresent() ? inVocabulary.getAsInt() : Math.max(highest + 1, vocabularySize());
                all.add(token.toMap((int) id));
                highest = Math.max(highest, id);
            }
        }
        if (all.size() == before) {
            return this;
        }
        Map<String, Object> changed = new LinkedHashMap<>(values.toMap());
        changed.put("added_tokens", all);
        String json = PythonJson.defaults().withEnsureAscii(false).dumps(changed);
        return new TokenizerJson(JsonView.of(values.file(), changed), json);
    }

    /** The id of the token {@code content}; empty if there is no such token. */
    OptionalInt id(String content) throws IOException {
        for (JsonView token : added()) {
            if (token.text("content").equals(content)) {
                return OptionalInt.of((int) token.whole("id"));
            }
        }
        return vocabularyId(content);
    }

    /** How many tokens there are: one more than the highest id. */
    int size() throws IOException {
        long size = vocabularySize();
        for (JsonView token : added()) {
            size = Math.max(size, token.whole("id") + 1);
        }
        return (int) size;
    }

    private List<JsonView> added() throws IOException {
        return values.has("added_tokens") ? values.objects("added_tokens") : List.of();
    }

    private boolean isTable() throws IOException {
        return values.has("model") && values.object("model").isObject("vocab");
    }

    private List<?> pieces() throws IOException {
        return values.has("model") && values.object("model").value("vocab") instanceof List<?> pieces ? pieces : List.of();
    }

    private int vocabularySize() throws IOException {
        return isTable() ? values.object("model").object("vocab").keys().size() : pieces().size();
    }

    private OptionalInt vocabularyId(String content) throws IOException {
        if (isTable()) {
            JsonView vocabulary = values.object("model").object("vocab");
            return vocabulary.has(content) ? OptionalInt.of((int) vocabulary.whole(content)) : OptionalInt.empty();
        }
        List<?> pieces = pieces();
        for (int i = 0; i < pieces.size(); i++) {
            if (pieces.get(i) instanceof List<?> piece && !piece.isEmpty() && content.equals(piece.getFirst())) {
                return OptionalInt.of(i);
            }
        }
        return OptionalInt.empty();
    }
}
