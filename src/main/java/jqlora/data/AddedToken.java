package jqlora.data;

import java.util.LinkedHashMap;
import java.util.Map;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;

/**
 * A token that is looked for in a text before anything else is.
 *
 * @param special whether decoding may leave it out
 * @param normalized whether it is looked for in the normalized text
 * @see <a href="https://huggingface.co/docs/tokenizers/api/added-tokens">tokenizers, AddedToken</a>
 */
record AddedToken(String content, boolean special, boolean lstrip, boolean rstrip, boolean singleWord, boolean normalized) {
    /** The token at {@code key}: a string, which is then a special token, or an object with {@code content}. */
    static AddedToken of(JsonView view, String key) throws JsonFileException {
        if (view.isObject(key)) {
            JsonView token = view.object(key);
            boolean special = token.flag("special", true);
            return new AddedToken(token.text("content"), special, token.flag("lstrip", false),
                    token.flag("rstrip", false), token.flag("single_word", false),
                    token.flag("normalized", !special));
        }
        if (!(view.value(key) instanceof String text)) {
            throw view.fault(key, "a token, as a string or as an object with content");
        }
        return new AddedToken(text, true, false, false, false, false);
    }

    /** As {@code tokenizer.json} has it. */
    Map<String, Object> toMap(int id) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("id", id);
        map.put("content", content);
        map.put("single_word", singleWord);
        map.put("lstrip", lstrip);
        map.put("rstrip", rstrip);
        map.put("normalized", normalized);
        map.put("special", special);
        return map;
    }
}
