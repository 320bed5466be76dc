package jqlora.format;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What other programs know a model by: the Hub's name and the commit where its folder is a snapshot in the Hub's cache, the Hub's name that its
 * {@code config.json} gives as {@code _name_or_path}, else the folder as it was given, as transformers does.
 *
 * @param text {@code organisation/name}, or a path
 * @param revision a commit; null where none is known
 */
public record ModelName(String text, String revision) {
    private static final Pattern CACHED = Pattern.compile("models--(.+)");

    /** The name of the model in {@code folder}. */
    public static ModelName of(Path folder) throws IOException {
        ModelName cached = cached(folder.toAbsolutePath().normalize());
        if (cached == null && Files.exists(folder)) {
            cached = cached(folder.toRealPath());
        }
        if (cached != null) {
            return cached;
        }
        if (Files.isRegularFile(folder.resolve(HfConfig.FILE))) {
            JsonView config = HfConfig.read(folder).values();
            String given = config.object().get("_name_or_path") == null || config.object().get("_name_or_path").isJsonNull() ? "" : config.text("_name_or_path");
            if (given.contains("/") && isRepository(given)) {
                return new ModelName(given, null);
            }
        }
        return new ModelName(folder.toString(), null);
    }

    /** {@code .../models--organisation--name/snapshots/<commit>}; null for another folder. */
    private static ModelName cached(Path folder) {
        int names = folder.getNameCount();
        if (names < 3 || !folder.getName(names - 2).toString().equals("snapshots") || !HubRepository.isCommit(folder.getName(names - 1).toString())) {
            return null;
        }
        Matcher repository = CACHED.matcher(folder.getName(names - 3).toString());
        if (!repository.matches()) {
            return null;
        }
        String id = repository.group(1).replaceFirst("--", "/");
        return isRepository(id) ? new ModelName(id, folder.getName(names - 1).toString()) : null;
    }

    private static boolean isRepository(String id) {
        try {
            HubRepository.of(id);
            return true;
        } catch (IllegalArgumentException notOne) {
            return false;
        }
    }

    /** For a title: the Hub's name without the organisation, or the folder's own name. */
    public String title() {
        Path name = Path.of(text).getFileName();
        return name == null ? text : name.toString();
    }

    /** Such as {@code HuggingFaceTB/SmolLM2-135M}. */
    @Override
    public String toString() {
        return text;
    }
}
