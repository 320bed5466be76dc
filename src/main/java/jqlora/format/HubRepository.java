package jqlora.format;

import java.util.regex.Pattern;

/**
 * A model on the Hub at one revision.
 *
 * @param id {@code name} or {@code organisation/name}
 * @param revision a branch, a tag or a commit
 * @see <a href="https://github.com/huggingface/huggingface_hub/blob/v1.33.0/src/huggingface_hub/utils/_validators.py">huggingface_hub 1.33.0, validate_repo_id</a>
 */
public record HubRepository(String id, String revision) {
    private static final Pattern PART = Pattern.compile("\\w([\\w.-]{0,94}\\w)?");
    private static final Pattern COMMIT = Pattern.compile("[0-9a-f]{40}");
    private static final Pattern CONFINED = Pattern.compile("(?!\\.{1,2}(/|$))[^/\\\\:\\p{Cntrl}]+(/(?!\\.{1,2}(/|$))[^/\\\\:\\p{Cntrl}]+)*");

    public HubRepository {
        String[] parts = id.split("/", -1);
        boolean valid = parts.length <= 2 && !id.contains("--") && !id.contains("..") && !id.endsWith(".git");
        for (String part : parts) {
            valid &= PART.matcher(part).matches();
        }
        if (!valid) {
            throw new IllegalArgumentException("model name is " + Quoted.of(id) + ", it must be name or organisation/name of letters, digits,"
                    + " '-', '_' and '.', without \"--\", \"..\" or \".git\" at the end");
        }
        if (!isConfined(revision)) {
            throw new IllegalArgumentException("revision is " + Quoted.of(revision) + ", it must be a branch, a tag or a commit");
        }
    }

    /** The branch {@code main} of {@code id}. */
    public static HubRepository of(String id) {
        return new HubRepository(id, "main");
    }

    public HubRepository withRevision(String revision) {
        return new HubRepository(id, revision);
    }

    /** Whether the revision is a commit, whose files never change. */
    boolean isCommit() {
        return isCommit(revision);
    }

    static boolean isCommit(String revision) {
        return COMMIT.matcher(revision).matches();
    }

    /** Whether {@code path}, with '/' between its parts, stays within the folder that it is resolved against. */
    static boolean isConfined(String path) {
        return CONFINED.matcher(path).matches();
    }

    /** The name of this model's folder in the cache, such as {@code models--HuggingFaceTB--SmolLM2-135M}. */
    String folderName() {
        return "models--" + id.replace("/", "--");
    }

    /** Such as {@code HuggingFaceTB/SmolLM2-135M (main)}. */
    @Override
    public String toString() {
        return id + " (" + revision + ")";
    }
}
