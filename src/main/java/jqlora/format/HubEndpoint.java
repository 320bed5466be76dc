package jqlora.format;

import java.net.URI;
import java.time.Duration;

/**
 * Where models are downloaded from, and how patiently.
 *
 * @param uri the Hub or a mirror of it, http or https
 * @param token sent to this host alone
 * @param retries how often a request is repeated after a broken connection or an answer of 408, 429 or 5xx, without new bytes in between
 * @param firstDelay wait before the first repetition; it doubles each time
 * @param silence how long a server may send nothing before the connection counts as broken
 */
public record HubEndpoint(URI uri, HubToken token, int retries, Duration firstDelay, Duration silence) {
    public HubEndpoint {
        if (!("http".equals(uri.getScheme()) || "https".equals(uri.getScheme())) || uri.getHost() == null || uri.getUserInfo() != null) {
            throw new IllegalArgumentException("Hub endpoint has scheme " + uri.getScheme() + " and host " + uri.getHost()
                    + ", it must be http:// or https:// and a host, without user information");
        }
        if (retries < 0) {
            throw new IllegalArgumentException("retries is " + retries + ", it must not be negative");
        }
    }

    /** {@code https://huggingface.co} without a token; 5 retries from 1 s on, 60 s of silence. */
    public static HubEndpoint defaults() {
        return new HubEndpoint(URI.create("https://huggingface.co"), HubToken.none(), 5, Duration.ofSeconds(1), Duration.ofSeconds(60));
    }

    public HubEndpoint withUri(URI uri) {
        return new HubEndpoint(uri, token, retries, firstDelay, silence);
    }

    public HubEndpoint withToken(HubToken token) {
        return new HubEndpoint(uri, token, retries, firstDelay, silence);
    }

    public HubEndpoint withRetries(int retries) {
        return new HubEndpoint(uri, token, retries, firstDelay, silence);
    }

    public HubEndpoint withFirstDelay(Duration firstDelay) {
        return new HubEndpoint(uri, token, retries, firstDelay, silence);
    }

    public HubEndpoint withSilence(Duration silence) {
        return new HubEndpoint(uri, token, retries, firstDelay, silence);
    }

    /** The address of {@code path}, which is encoded and begins with a slash. */
    URI resolve(String path) {
        return URI.create(uri.toString().replaceAll("/+$", "") + path);
    }

    /** Whether {@code target} has this endpoint's scheme, host and port, so that the token may go there. */
    boolean isSameOrigin(URI target) {
        return uri.getScheme().equals(target.getScheme()) && uri.getHost().equalsIgnoreCase(target.getHost()) && port(uri) == port(target);
    }

    private static int port(URI uri) {
        return uri.getPort() >= 0 ? uri.getPort() : "https".equals(uri.getScheme()) ? 443 : 80;
    }
}
