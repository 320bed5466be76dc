package jqlora.format;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Brings a model from the Hub into the cache: its configuration, tokenizer and safetensors, no more. Files that are there are not
 * asked for again, whoever downloaded them.
 */
public final class HubDownload {
    private static final int LARGEST_LISTING = 64 << 20;

    private final HubCache cache;
    private final HubEndpoint endpoint;
    private final DownloadListener listener;

    public HubDownload(HubCache cache, HubEndpoint endpoint, DownloadListener listener) {
        this.cache = cache;
        this.endpoint = endpoint;
        this.listener = listener;
    }

    /**
     * The local folder of {@code repository}, as it is on the Hub now; missing files are downloaded. When the Hub does not answer, a
     * model that is whole in the cache is taken as it is, and the listener is told.
     *
     * @throws HubException if there is no such model, it is not accessible, has no safetensors, or a file arrives damaged
     * @throws IOException if the connection breaks more often than the endpoint allows, or the cache cannot be written
     */
    public Path fetch(HubRepository repository) throws IOException {
        Optional<Path> cached = cache.find(repository);
        if (cached.isPresent() && repository.isCommit()) {
            return cached.get();                                  // a commit never changes
        }
        try (HubHttp http = new HubHttp(repository, endpoint)) {
            Listing listing;
            try {
                listing = cached.isPresent() ? list(http, repository) : http.withRetries(gotOn -> list(http, repository));
            } catch (HubException | InterruptedIOException refused) {
                throw refused;
            } catch (IOException unreachable) {
                String reason = endpoint.uri().getHost() + " cannot be reached: "
                        + (unreachable.getMessage() == null ? unreachable : unreachable.getMessage());
                if (cached.isEmpty()) {
                    throw new HubException(repository, reason + "; and the model is not whole in the cache " + cache.root(), unreachable);
                }
                listener.cacheUsed(reason);
                return cached.get();
            }
            Path snapshot = cache.snapshot(repository, listing.commit());
            for (String file : HubFiles.needed(repository, listing.files())) {
                fetchFile(http, repository, listing.commit(), file);
            }
            for (String shard : HubFiles.missing(snapshot)) {
                if (listing.files().contains(shard)) {
                    fetchFile(http, repository, listing.commit(), shard);
                }
            }
            Set<String> missing = HubFiles.missing(snapshot);
            if (!missing.isEmpty()) {
                throw new HubException(repository, "lacks " + String.join(", ", missing) + " on the Hub itself, the model is not whole");
            }
            cache.point(repository, listing.commit());
            return snapshot;
        }
    }

    /** The commit that the revision stands for, and all its files. */
    private record Listing(String commit, List<String> files) { }

    private Listing list(HubHttp http, HubRepository repository) throws IOException {
        URI uri = endpoint.resolve("/api/models/" + repository.id() + "/revision/" + encode(repository.revision()));
        ByteArrayOutputStream json = new ByteArrayOutputStream();
        try (InputStream body = http.send("GET", uri, 0).body()) {
            byte[] buffer = new byte[1 << 16];
            for (int count = http.read(body, buffer); count >= 0; count = http.read(body, buffer)) {
                json.write(buffer, 0, count);
                if (json.size() > LARGEST_LISTING) {
                    throw new HubException(repository, HubHttp.shown(uri) + " answers with more than " + LARGEST_LISTING + " bytes");
                }
            }
        }
        try {
            JsonView info = JsonView.parse(HubHttp.shown(uri), json.toString(StandardCharsets.UTF_8));
            if (!HubRepository.isCommit(info.text("sha"))) {
                throw info.fault("sha", "a commit of 40 hexadecimal digits");
            }
            List<String> files = new ArrayList<>();
            for (JsonView sibling : info.objects("siblings")) {
                files.add(sibling.text("rfilename"));
                if (!HubRepository.isConfined(files.getLast())) {
                    throw sibling.fault("rfilename", "a path within the repository");
                }
            }
            return new Listing(info.text("sha"), files);
        } catch (JsonFileException malformed) {
            throw new HubException(repository, "the server is no Hub, or a broken one: " + malformed.getMessage() + HubHttp.ENDPOINT);
        }
    }

    private void fetchFile(HubHttp http, HubRepository repository, String commit, String file) throws IOException {
        Path pointer = cache.snapshot(repository, commit).resolve(file);
        if (Files.exists(pointer)) {
            return;
        }
        URI uri = endpoint.resolve("/" + repository.id() + "/resolve/" + commit + "/" + encode(file));
        RemoteFile remote = http.withRetries(gotOn -> head(http, repository, file, uri));
        Path blob = cache.blob(repository, remote.etag());
        if (!Files.exists(blob)) {
            Files.createDirectories(blob.getParent());
            new BlobDownload(http, repository, remote, listener).into(blob);
        }
        HubCache.link(blob, pointer);
    }

    /** The Hub's own ETag and size where the file lies elsewhere, as large ones do. */
    private static RemoteFile head(HubHttp http, HubRepository repository, String file, URI uri) throws IOException {
        HttpResponse<InputStream> response = http.send("HEAD", uri, 0);
        response.body().close();
        Optional<String> etag = response.headers().firstValue(HubHttp.LINKED_ETAG).or(() -> response.headers().firstValue("ETag"));
        Optional<String> size = response.headers().firstValue("X-Linked-Size")
                .or(() -> response.statusCode() / 100 == 2 ? response.headers().firstValue("Content-Length") : Optional.empty());
        if (etag.isEmpty()) {
            throw new HubException(repository, HubHttp.shown(uri) + " has no ETag" + HubHttp.ENDPOINT);
        }
        String plain = etag.get().replaceFirst("^W/", "").replaceAll("^\"|\"$", "");
        return new RemoteFile(file, uri, plain, Long.parseLong(size.filter(text -> text.matches("\\d{1,18}")).orElse("-1")));
    }

    private static String encode(String segment) {
        return URLEncoder.encode(segment, StandardCharsets.UTF_8).replace("+", "%20");
    }
}
