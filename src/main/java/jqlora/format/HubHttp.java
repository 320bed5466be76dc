package jqlora.format;

import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Requests to the Hub for one model. Redirects are followed here rather than by the client, so that the token goes to the endpoint's
 * own host and nowhere else. An {@link IOException} that is no {@link HubException} may pass when the request is repeated.
 */
final class HubHttp implements AutoCloseable {
    /** The ETag, on the Hub, of a file that lies elsewhere. */
    static final String LINKED_ETAG = "X-Linked-Etag";
    /** What to do about a server that does not answer as the Hub does. */
    static final String ENDPOINT = "; is the endpoint a Hub? HF_ENDPOINT names it";

    private static final int MOST_REDIRECTS = 5;
    private static final Set<Integer> TRANSIENT = Set.of(408, 429, 500, 502, 503, 504);
    private static final Duration LONGEST_WAIT = Duration.ofSeconds(30), LONGEST_CONNECT = Duration.ofSeconds(10);

    private final HubRepository repository;
    private final HubEndpoint endpoint;
    private final HttpClient client;
    private final ExecutorService readers = Executors.newVirtualThreadPerTaskExecutor();

    HubHttp(HubRepository repository, HubEndpoint endpoint) {
        this.repository = repository;
        this.endpoint = endpoint;
        // HTTP/1.1: a broken connection then breaks one file alone
        this.client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).followRedirects(HttpClient.Redirect.NEVER)
                .connectTimeout(endpoint.silence().compareTo(LONGEST_CONNECT) < 0 ? endpoint.silence() : LONGEST_CONNECT).build();
    }

    /** An answer of 408, 429 or 5xx. */
    private static final class BusyException extends IOException {
        private static final long serialVersionUID = 1L;
        private final transient Duration wait;

        BusyException(String message, Duration wait) {
            super(message);
            this.wait = wait;
        }
    }

    /**
     * Asks for {@code uri}, following redirects; the caller closes the body. A HEAD stops at a redirect that itself tells the ETag of
     * its target: the Hub does so when the file lies on another host.
     *
     * @param firstByte where to begin, above 0 after an interruption
     * @throws HubException if the answer is neither 2xx, 416 nor, to HEAD, a redirect
     */
    HttpResponse<InputStream> send(String method, URI uri, long firstByte) throws IOException {
        URI at = uri;
        for (int redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
            HttpResponse<InputStream> response = sendOnce(method, at, firstByte);
            int status = response.statusCode();
            Optional<String> location = response.headers().firstValue("Location");
            if (status / 100 == 3 && location.isPresent()) {
                URI target = redirectTarget(at, location.get());
                if (method.equals("HEAD") && response.headers().firstValue(LINKED_ETAG).isPresent()) {
                    return response;
                }
                response.body().close();
                at = target;
                continue;
            }
            if (status / 100 == 2 || status == 416) {
                return response;
            }
            response.body().close();
            if (TRANSIENT.contains(status)) {
                throw new BusyException(shown(at) + " answered " + status, retryAfter(response));
            }
            throw refusal(response, at);
        }
        throw new HubException(repository, shown(uri) + " redirects more than " + MOST_REDIRECTS + " times" + ENDPOINT);
    }

    private HttpResponse<InputStream> sendOnce(String method, URI uri, long firstByte) throws IOException {
        HttpRequest.Builder request = HttpRequest.newBuilder(uri).method(method, HttpRequest.BodyPublishers.noBody())
                .timeout(endpoint.silence()).header("Accept-Encoding", "identity").header("User-Agent", "jqlora");
        if (firstByte > 0) {
            request.header("Range", "bytes=" + firstByte + "-");
        }
        if (endpoint.token().isPresent() && endpoint.isSameOrigin(uri)) {
            request.header("Authorization", endpoint.token().header());
        }
        try {
            return client.send(request.build(), BodyHandlers.ofInputStream());
        } catch (InterruptedException interrupted) {
            throw interrupted();
        }
    }

    /** Where a redirect leads; from https it must lead to https, else the content could be read or changed on its way. */
    URI redirectTarget(URI from, String location) throws HubException {
        URI target;
        try {
            target = from.resolve(location);
        } catch (IllegalArgumentException malformed) {
            throw new HubException(repository, shown(from) + " redirects to something that is no address" + ENDPOINT);
        }
        boolean web = "https".equals(target.getScheme()) || "http".equals(target.getScheme()) && "http".equals(from.getScheme());
        if (!web || target.getHost() == null) {
            throw new HubException(repository, shown(from) + " redirects to " + shown(target) + ", it must redirect to https" + ENDPOINT);
        }
        return target;
    }

    private HubException refusal(HttpResponse<?> response, URI uri) {
        String answer = " (" + response.statusCode() + " from " + shown(uri) + ")";
        String code = response.headers().firstValue("X-Error-Code").orElse("");
        if (code.equals("GatedRepo") || response.statusCode() == 403) {
            return new HubException(repository, "is gated" + answer + "; accept its conditions at " + endpoint.resolve("/" + repository.id())
                    + " and give a token of the account that did");
        }
        if (response.statusCode() == 401) {
            return new HubException(repository, "does not exist, or is private" + answer + "; check the name, and "
                    + (endpoint.token().isPresent() ? "whether the token is valid" : "give a token if it is private"));
        }
        if (response.statusCode() == 404) {
            return new HubException(repository, switch (code) {
                case "RevisionNotFound" -> "has no such revision" + answer + "; name a branch, a tag or a commit that its page lists";
                case "EntryNotFound" -> "has no such file" + answer + "; another revision may have it";
                default -> "does not exist" + answer + "; check the name";
            });
        }
        return new HubException(repository, "the server refuses" + answer + ENDPOINT);
    }

    /** A wait in seconds; a date is ignored, as the usual wait will do. */
    private static Duration retryAfter(HttpResponse<?> response) {
        Optional<String> seconds = response.headers().firstValue("Retry-After").filter(text -> text.matches("\\d{1,6}"));
        return Duration.ofSeconds(Long.parseLong(seconds.orElse("0")));
    }

    /** As {@link InputStream#read(byte[])}, but silence of the server is an error: the client itself would wait for ever. */
    int read(InputStream body, byte[] buffer) throws IOException {
        Future<Integer> read = readers.submit(() -> body.read(buffer));
        try {
            return read.get(endpoint.silence().toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException silent) {
            body.close();
            throw new HttpTimeoutException("the server sent nothing for " + endpoint.silence().toMillis() / 1000.0 + " s");
        } catch (ExecutionException failed) {
            throw failed.getCause() instanceof IOException broken ? broken : new IOException(failed.getCause());
        } catch (InterruptedException interrupted) {
            body.close();
            throw interrupted();
        }
    }

    /** What may be repeated. */
    @FunctionalInterface
    interface Attempt<T> {
        /** @param gotOn to be run when the attempt got further than any before, so that failures are counted anew */
        T run(Runnable gotOn) throws IOException;
    }

    /** Runs {@code attempt}, again after a broken connection or a busy server, each time after a longer wait. */
    <T> T withRetries(Attempt<T> attempt) throws IOException {
        int[] failures = {0};
        while (true) {
            try {
                return attempt.run(() -> failures[0] = 0);
            } catch (HubException | InterruptedIOException permanent) {
                throw permanent;
            } catch (IOException broken) {
                if (failures[0] >= endpoint.retries()) {
                    throw broken;
                }
                pause(failures[0]++, broken);
            }
        }
    }

    private void pause(int failures, IOException reason) throws InterruptedIOException {
        Duration wait = endpoint.firstDelay().multipliedBy(1L << Math.min(failures, 10));
        if (reason instanceof BusyException busy && busy.wait.compareTo(wait) > 0) {
            wait = busy.wait;
        }
        try {
            Thread.sleep(wait.compareTo(LONGEST_WAIT) < 0 ? wait : LONGEST_WAIT);
        } catch (InterruptedException interrupted) {
            throw interrupted();
        }
    }

    private InterruptedIOException interrupted() {
        Thread.currentThread().interrupt();
        return new InterruptedIOException(repository + ": the download was interrupted; begun again, it goes on where it was");
    }

    /** An address without its query, which may hold a signature, and without user information. */
    static String shown(URI uri) {
        String authority = uri.getRawAuthority() == null ? "" : "//" + uri.getRawAuthority().replaceFirst(".*@", "");
        return uri.getScheme() + ":" + authority + (uri.getRawPath() == null ? "" : uri.getRawPath());
    }

    @Override
    public void close() {
        client.shutdownNow();
        readers.shutdownNow();
    }
}
