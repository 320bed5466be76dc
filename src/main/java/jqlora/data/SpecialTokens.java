package jqlora.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import jqlora.format.HfConfig;
import jqlora.format.JsonFileException;
import jqlora.format.JsonView;

/**
 * What the files beside {@code tokenizer.json} say of special tokens, by the rules of transformers 5.17.0 (tokenization_utils_base.py,
 * _from_pretrained): {@code tokenizer_config.json} with its {@code added_tokens_decoder}; without one, {@code special_tokens_map.json},
 * which then goes before the config, and {@code added_tokens.json}. A token is a string or an object with {@code content}.
 *
 * @param named special tokens by their part, such as {@code eos_token}
 * @param declared tokens of {@code added_tokens_decoder} or {@code added_tokens.json}, by id
 * @param further special tokens without a part of their own
 * @param config {@code tokenizer_config.json}; without keys if there is none
 */
record SpecialTokens(Map<String, AddedToken> named, List<AddedToken> declared, List<AddedToken> further, JsonView config) {
    static final String CONFIG = "tokenizer_config.json", MAP = "special_tokens_map.json", ADDED = "added_tokens.json";
    static final String EOS = "eos_token", BOS = "bos_token";

    private static final List<String> PARTS = List.of(BOS, EOS, "unk_token", "sep_token", "pad_token", "cls_token", "mask_token");
    private static final List<String> FURTHER = List.of("additional_special_tokens", "extra_special_tokens");

    /** @throws IOException if a file cannot be read, or a token in it is neither a string nor an object with {@code content} */
    static SpecialTokens read(Path folder) throws IOException {
        JsonView config = optional(folder.resolve(CONFIG));
        Map<String, AddedToken> named = new LinkedHashMap<>();
        List<AddedToken> declared = new ArrayList<>(), further = new ArrayList<>();
        collect(config, named, further);
        if (config.has("added_tokens_decoder")) {
            declared.addAll(decoder(config.object("added_tokens_decoder")));
        } else {
            collect(optional(folder.resolve(MAP)), named, further);
            declared.addAll(file(optional(folder.resolve(ADDED)), named.values(), further));
        }
        return new SpecialTokens(named, declared, further, config);
    }

    /** All tokens that belong to the tokenizer besides those in {@code tokenizer.json}, in the order in which transformers adds them. */
    List<AddedToken> added() {
        List<AddedToken> added = new ArrayList<>(declared);
        PARTS.stream().filter(named::containsKey).map(named::get).forEach(added::add);
        added.addAll(further);
        return added;
    }

    private static JsonView optional(Path file) throws IOException {
        return Files.isRegularFile(file) ? JsonView.read(file) : JsonView.of(file.toString(), Map.of());
    }

    private static void collect(JsonView view, Map<String, AddedToken> named, List<AddedToken> further) throws JsonFileException {
        for (String part : PARTS) {
            if (view.has(part)) {
                named.put(part, AddedToken.of(view, part));
            } else if (view.keys().contains(part)) {
                named.remove(part);
            }
        }
        for (String key : FURTHER) {
            if (view.value(key) instanceof List<?> tokens) {
                for (Object token : tokens) {
                    further.add(AddedToken.of(JsonView.of(view.file(), Map.of(key, token)), key));
                }
            } else if (view.isObject(key)) {
                JsonView tokens = view.object(key);
                for (String name : tokens.keys()) {
                    further.add(AddedToken.of(tokens, name));
                }
            }
        }
    }

    private static List<AddedToken> decoder(JsonView decoder) throws JsonFileException {
        Map<Integer, AddedToken> byId = new TreeMap<>();
        for (String id : decoder.keys()) {
            try {
                byId.put(Integer.parseInt(id), AddedToken.of(decoder, id));
            } catch (NumberFormatException wrong) {
                throw new JsonFileException(decoder.file(), "added_tokens_decoder: the key \"" + id
                        + "\" must be a token's id, a whole number");
            }
        }
        return List.copyOf(byId.values());
    }

    private static List<AddedToken> file(JsonView added, Iterable<AddedToken> named, List<AddedToken> further) throws JsonFileException {
        List<String> special = new ArrayList<>();
        named.forEach(token -> special.add(token.content()));
        further.forEach(token -> special.add(token.content()));
        Map<Long, AddedToken> byId = new TreeMap<>();
        for (String content : added.keys()) {
            boolean isSpecial = special.contains(content);
            byId.put(added.whole(content), new AddedToken(content, isSpecial, false, false, false, !isSpecial));
        }
        return List.copyOf(byId.values());
    }

    /** The token that begins, or ends, a text; empty if no file names one. */
    Optional<String> text(String part) {
        return Optional.ofNullable(named.get(part)).map(AddedToken::content);
    }

    /** The ids at which the model's own configuration says that an answer ends; the first file that names any counts. */
    static List<Integer> stopIds(Path folder) throws IOException {
        for (String name : List.of("generation_config.json", HfConfig.FILE)) {
            JsonView view = optional(folder.resolve(name));
            if (view.has("eos_token_id")) {
                long[] ids = view.isArray("eos_token_id") ? view.wholes("eos_token_id") : new long[] {view.whole("eos_token_id")};
                List<Integer> stops = new ArrayList<>();
                for (long id : ids) {
                    if (id < 0 || id > Integer.MAX_VALUE) {
                        throw view.fault("eos_token_id", "a token's id, or a list of them, each from 0 on");
                    }
                    stops.add((int) id);
                }
                return stops;
            }
        }
        return List.of();
    }
}
