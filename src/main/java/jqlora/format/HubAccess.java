package jqlora.format;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * The Hub as this user's environment has it, by huggingface_hub's rules, so that what one of the two has downloaded or been told the other knows.
 *
 * @param offline whether no server may be asked
 * @see <a href="https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables">huggingface_hub, Environment variables</a>
 */
public record HubAccess(HubCache cache, HubEndpoint endpoint, boolean offline) {

    /**
     * The cache as {@link HubCache#standard}; the server that {@code HF_ENDPOINT} names, else huggingface.co; the token in {@code HF_TOKEN}, else the one that
     * {@code hf auth login} keeps in the file {@code HF_TOKEN_PATH}, else in {@code token} in {@code HF_HOME}; offline if {@code HF_HUB_OFFLINE} or
     * {@code TRANSFORMERS_OFFLINE} is 1, true, yes or on.
     *
     * @param environment the process's environment, read by the caller
     * @param home the user's home folder
     * @throws IllegalArgumentException if HF_ENDPOINT or the token cannot be one; the message does not show the token
     * @throws IOException if the token's file cannot be read
     */
    public static HubAccess standard(Map<String, String> environment, Path home) throws IOException {
        HubCache cache = HubCache.standard(environment, home);
        HubEndpoint endpoint = HubEndpoint.defaults();
        if (given(environment, "HF_ENDPOINT").isPresent()) {
            String text = given(environment, "HF_ENDPOINT").get();
            try {
                endpoint = endpoint.withUri(URI.create(text));
            } catch (IllegalArgumentException noAddress) {
                throw new IllegalArgumentException("HF_ENDPOINT is " + Quoted.of(text) + ", it must be an address such as https://huggingface.co", noAddress);
            }
        }
        Optional<String> token = given(environment, "HF_TOKEN").or(() -> given(environment, "HUGGING_FACE_HUB_TOKEN"));
        Path file = given(environment, "HF_TOKEN_PATH").map(Path::of).orElse(HubCache.home(environment, home).resolve("token"));
        if (token.isEmpty() && Files.isRegularFile(file)) {
            token = Optional.of(Files.readString(file).strip());
        }
        return new HubAccess(cache, endpoint.withToken(HubToken.of(token.orElse(""))), on(environment, "HF_HUB_OFFLINE") || on(environment, "TRANSFORMERS_OFFLINE"));
    }

    private static Optional<String> given(Map<String, String> environment, String name) {
        return Optional.ofNullable(environment.get(name)).map(String::strip).filter(value -> !value.isEmpty());
    }

    private static boolean on(Map<String, String> environment, String name) {
        return given(environment, name).map(value -> List.of("1", "true", "yes", "on").contains(value.toLowerCase(Locale.ROOT))).orElse(false);
    }

    /**
     * The folder of a model, downloaded where it is not in the cache.
     *
     * @throws HubException if it is not on the Hub, may not be read, or is offline and not in the cache; the message says which
     * @throws IOException if the connection breaks for good, or the cache cannot be written
     */
    public Path fetch(HubRepository repository, DownloadListener listener) throws IOException {
        return offline ? cache.require(repository) : new HubDownload(cache, endpoint, listener).fetch(repository);
    }
}
