package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import jqlora.Peers;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HubDownloadTest {
    private static final HubRepository MODEL = HubRepository.of(FakeHub.ID);
    private static final String SECRET = "hf_TopSecretToken";

    @TempDir
    Path temp;

    private final FakeHub hub = new FakeHub();
    private final byte[] weights = new byte[300_000];
    private final List<String> heard = Collections.synchronizedList(new ArrayList<>());
    private HubEndpoint endpoint = HubEndpoint.defaults().withUri(hub.uri()).withRetries(2).withFirstDelay(Duration.ofMillis(5)).withSilence(Duration.ofSeconds(5));
    private HubCache cache;

    @BeforeEach
    void aModel() {
        cache = new HubCache(temp.resolve("hub"));
        new Random(1).nextBytes(weights);
        hub.file("README.md", bytes("# tiny"));
        hub.file("config.json", bytes("{\"model_type\":\"llama\"}"));
        hub.file("tokenizer.json", bytes("{}"));
        hub.file("model.safetensors", weights);
        hub.file("pytorch_model.bin", bytes("pickle"));
        hub.file("onnx/model.safetensors", bytes("other"));
        hub.file("consolidated.safetensors", bytes("other"));
    }

    @AfterEach
    void stop() {
        hub.close();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private Path fetch() throws IOException {
        return fetch(MODEL);
    }

    private Path fetch(HubRepository repository) throws IOException {
        return new HubDownload(cache, endpoint, new DownloadListener() {
            @Override
            public void progress(String file, long bytes, long totalBytes) {
                heard.add(file + " " + bytes + " of " + totalBytes);
            }

            @Override
            public void cacheUsed(String reason) {
                heard.add("cache: " + reason);
            }
        }).fetch(repository);
    }

    private Path folder() {
        return cache.root().resolve("models--org--tiny-model");
    }

    private Path blob() {
        return folder().resolve("blobs").resolve(hub.etag("model.safetensors"));
    }

    @Test
    void theLayoutIsHuggingFaces() throws IOException {
        Path snapshot = fetch();
        assertEquals(folder().resolve("snapshots").resolve(FakeHub.COMMIT), snapshot);
        assertEquals(List.of("config.json", "model.safetensors", "tokenizer.json"), names(snapshot));
        assertEquals(FakeHub.COMMIT, Files.readString(folder().resolve("refs/main")));
        assertEquals(Path.of("../../blobs", hub.etag("model.safetensors")), Files.readSymbolicLink(snapshot.resolve("model.safetensors")));
        assertArrayEquals(weights, Files.readAllBytes(snapshot.resolve("model.safetensors")));
        assertEquals(3, names(folder().resolve("blobs")).size());
        assertEquals("model.safetensors 0 of 300000", heard.stream().filter(line -> line.startsWith("model")).findFirst().orElseThrow());
        assertEquals("model.safetensors 300000 of 300000", heard.getLast());
        assertEquals(1, hub.count("storage GET"));
        int before = hub.requests.size();
        assertEquals(snapshot, fetch());
        assertEquals(before + 1, hub.requests.size(), "the listing alone is asked for again");
        assertEquals(snapshot, fetch(MODEL.withRevision(FakeHub.COMMIT)));
        assertEquals(before + 1, hub.requests.size(), "a commit that is there is not asked for");
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    @Tag("peers")
    void huggingfaceHubFindsTheFolder() throws Exception {
        Path snapshot = fetch();
        String printed = Peers.run("format/hub_cache.py", cache.root(), temp.resolve("other"), hub.uri(), FakeHub.ID);
        assertTrue(printed.strip().endsWith(snapshot.toString()), printed);
        cache = new HubCache(temp.resolve("other"));
        int before = hub.requests.size();
        assertEquals(temp.resolve("other").relativize(cache.require(MODEL)), temp.resolve("hub").relativize(snapshot));
        fetch();
        assertEquals(before + 1, hub.requests.size(), "nothing is downloaded again");
    }

    @Test
    void theTokenStaysOnTheHub() throws IOException {
        endpoint = endpoint.withToken(HubToken.of(SECRET + "\n"));
        fetch();
        assertTrue(hub.requests.stream().filter(request -> request.startsWith("hub")).allMatch(request -> request.endsWith("Bearer " + SECRET)));
        assertTrue(hub.requests.stream().filter(request -> request.startsWith("storage")).noneMatch(request -> request.contains("Bearer")));
        assertTrue(hub.count("storage") > 0);
    }

    @Test
    void noExceptionHoldsTokenOrSignature() throws IOException {
        endpoint = endpoint.withToken(HubToken.of(SECRET));
        List<Throwable> thrown = new ArrayList<>();
        for (int status : new int[] {400, 401, 403, 404, 500}) {
            hub.answers("/revision/main", status, "", 10);
            thrown.add(assertFails(IOException.class, this::fetch));
        }
        hub.answers("/revision/main", 400, "", 0);
        hub.answers("model.safetensors", 0, "", 0);
        hub.breaks("/storage/model.safetensors", 100, 10);
        hub.ignoresRange = true;
        thrown.add(assertFails(IOException.class, this::fetch));
        hub.answers("/storage/model.safetensors", 403, "", 10);
        thrown.add(assertFails(IOException.class, this::fetch, "127.0.0.1"));
        thrown.add(assertFails(IllegalArgumentException.class, () -> HubToken.of(SECRET + " x"), "the Hub token has white space"));
        assertEquals("token, no token", HubToken.of(SECRET) + ", " + HubToken.of(" "));
        for (Throwable failure : thrown) {
            StringWriter text = new StringWriter();
            failure.printStackTrace(new PrintWriter(text));
            assertFalse(text.toString().contains(SECRET) || text.toString().contains("secret-signature"), text.toString());
        }
        assertFalse(endpoint.toString().contains(SECRET));
    }

    @Test
    void aBrokenConnectionIsResumed() throws IOException {
        hub.breaks("/storage/model.safetensors", 70_000, 3);
        Path snapshot = fetch();
        assertArrayEquals(weights, Files.readAllBytes(snapshot.resolve("model.safetensors")));
        assertEquals(4, hub.count("storage GET"));
        assertEquals(3, hub.requests.stream().filter(request -> request.contains("storage") && request.contains("bytes=")).count());
        assertTrue(names(folder().resolve("blobs")).stream().noneMatch(name -> name.endsWith(".incomplete")));
    }

    @Test
    void anInterruptedDownloadGoesOnLater() throws IOException {
        endpoint = endpoint.withRetries(0);
        hub.breaks("/storage/model.safetensors", 100_000, 1);
        assertFails(IOException.class, this::fetch);
        long left = Files.size(blob().resolveSibling(blob().getFileName() + ".incomplete"));
        assertTrue(left > 0 && left < 300_000, left + " bytes");
        assertFalse(Files.exists(folder().resolve("refs/main")), "a revision points to whole snapshots only");
        fetch();
        assertTrue(hub.requests.contains("storage GET /storage/model.safetensors bytes=" + left + "-"), hub.requests.toString());
        assertTrue(heard.contains("model.safetensors " + left + " of 300000"));
    }

    @Test
    void aServerWithoutRangesStartsAnew() throws IOException {
        hub.ignoresRange = true;
        hub.breaks("/storage/model.safetensors", 70_000, 2);
        assertArrayEquals(weights, Files.readAllBytes(fetch().resolve("model.safetensors")));
        cache = new HubCache(temp.resolve("second"));
        hub.breaks("/storage/model.safetensors", 70_000, 1000);
        assertFails(IOException.class, this::fetch);
        assertTrue(hub.count("storage GET") < 12, "no endless repetition without getting further: " + hub.count("storage GET"));
    }

    @Test
    void damagedBytesAreNeverTaken() throws IOException {
        hub.damages("/storage/model.safetensors", 1);
        assertArrayEquals(weights, Files.readAllBytes(fetch().resolve("model.safetensors")));
        cache = new HubCache(temp.resolve("second"));
        hub.damages("/storage/model.safetensors", 10);
        byte[] damaged = weights.clone();
        damaged[damaged.length / 2] ^= 1;
        assertFails(HubException.class, this::fetch, "org/tiny-model (main): model.safetensors arrived with SHA-256 " + FakeHub.hash("SHA-256", damaged)
                + ", it must be " + hub.etag("model.safetensors"));
        assertFalse(Files.exists(blob()));
        cache = new HubCache(temp.resolve("third"));
        hub.damages("/storage/model.safetensors", 0);
        Files.createDirectories(blob().getParent());
        Files.write(blob().resolveSibling(blob().getFileName() + ".incomplete"), new byte[1000]);
        assertArrayEquals(weights, Files.readAllBytes(fetch().resolve("model.safetensors")));
        cache = new HubCache(temp.resolve("fourth"));
        Files.createDirectories(blob().getParent());
        Files.write(blob().resolveSibling(blob().getFileName() + ".incomplete"), Arrays.copyOf(weights, 400_000));
        assertArrayEquals(weights, Files.readAllBytes(fetch().resolve("model.safetensors")));
    }

    @Test
    void aBusyServerIsAskedAgain() throws IOException {
        hub.answers("/revision/main", 503, "", 2);
        hub.answers("config.json", 429, "", 1);
        fetch();
        hub.answers("/revision/main", 503, "", 100);
        cache = new HubCache(temp.resolve("second"));
        assertFails(HubException.class, this::fetch, "org/tiny-model (main): 127.0.0.1 cannot be reached: ", "answered 503",
                "and the model is not whole in the cache " + cache.root());
    }

    @Test
    void aSilentServerIsABrokenOne() throws IOException {
        endpoint = endpoint.withSilence(Duration.ofMillis(300)).withRetries(0);
        hub.breaks("tokenizer.json", 0, 1);
        assertFails(IOException.class, this::fetch, "the server sent nothing for 0.3 s");
        assertEquals(3, names(fetch()).size());
    }

    @Test
    void anInterruptEndsTheDownload() throws Exception {
        hub.breaks("tokenizer.json", 0, 1);
        CompletableFuture<Throwable> failure = new CompletableFuture<>();
        Thread thread = Thread.ofVirtual().start(() -> {
            try {
                failure.complete(new AssertionError(fetch().toString()));
            } catch (IOException thrown) {
                failure.complete(thrown);
            }
        });
        while (hub.count("hub GET /org/tiny-model/resolve/" + FakeHub.COMMIT + "/tokenizer.json") == 0) {
            Thread.sleep(5);
        }
        thread.interrupt();
        assertEquals("org/tiny-model (main): the download was interrupted; begun again, it goes on where it was",
                assertFails(InterruptedIOException.class, () -> { throw failure.get(); }).getMessage());
    }

    @Test
    void twoDownloadsAtOnceDoTheWorkOnce() throws Exception {
        hub.breaks("/storage/model.safetensors", 1000, 2);
        List<CompletableFuture<Path>> futures = Stream.generate(() -> CompletableFuture.supplyAsync(() -> {
            try {
                return fetch();
            } catch (IOException failed) {
                throw new AssertionError(failed);
            }
        })).limit(3).toList();
        for (CompletableFuture<Path> future : futures) {
            assertArrayEquals(weights, Files.readAllBytes(future.get().resolve("model.safetensors")));
        }
        assertEquals(3, hub.count("storage GET"));
        assertEquals(3, names(folder().resolve("blobs")).size());
    }

    @Test
    void refusalsSayWhatToDo() {
        hub.answers("/revision/main", 401, "RepoNotFound", 1);
        String address = "from " + hub.uri() + "/api/models/org/tiny-model/revision/main)";
        fails("org/tiny-model (main): does not exist, or is private (401 " + address + "; check the name, and give a token if it is private");
        endpoint = endpoint.withToken(HubToken.of(SECRET));
        hub.answers("/revision/main", 401, "", 1);
        fails("does not exist, or is private (401 " + address + "; check the name, and whether the token is valid");
        hub.answers("/revision/main", 401, "GatedRepo", 1);
        fails("is gated (401 " + address + "; accept its conditions at " + hub.uri() + "/org/tiny-model and give a token");
        hub.answers("/revision/main", 403, "", 1);
        fails("is gated (403 ");
        hub.answers("/revision/main", 404, "RepoNotFound", 1);
        fails("does not exist (404 " + address + "; check the name");
        hub.answers("/revision/main", 404, "RevisionNotFound", 1);
        fails("has no such revision (404 ");
        hub.answers("/revision/main", 400, "", 1);
        fails("the server refuses (400 ");
        hub.answers("config.json", 404, "EntryNotFound", 1);
        fails("has no such file (404 from " + hub.uri() + "/org/tiny-model/resolve/" + FakeHub.COMMIT + "/config.json)");
    }

    private void fails(String... parts) {
        assertFails(HubException.class, this::fetch, parts);
    }

    @Test
    void modelsWithoutSafetensorsAreRefused() {
        String head = "{\"sha\":\"" + FakeHub.COMMIT + "\",\"siblings\":[{\"rfilename\":\"config.json\"}";
        hub.listing = head + ",{\"rfilename\":\"pytorch_model.bin\"}]}";
        fails("has its weights only as Python pickles (pytorch_model.bin)", "convert it to model.safetensors first");
        hub.listing = head + "]}";
        fails("has neither model.safetensors nor model.safetensors.index.json, a model must have one of them");
    }

    @Test
    void shardsAreThoseOfTheIndex() throws IOException {
        hub.listing = "{\"sha\":\"" + FakeHub.COMMIT + "\",\"siblings\":[{\"rfilename\":\"config.json\"},{\"rfilename\":\"model.safetensors.index.json\"},"
                + "{\"rfilename\":\"s-1.safetensors\"},{\"rfilename\":\"consolidated.safetensors\"}]}";
        hub.file("model.safetensors.index.json", bytes("{\"weight_map\":{\"a\":\"s-1.safetensors\",\"b\":\"s-2.safetensors\"}}"));
        hub.file("s-1.safetensors", weights);
        fails("lacks s-2.safetensors on the Hub itself, the model is not whole");
        hub.file("s-2.safetensors", Arrays.copyOf(weights, 10));
        hub.listing = hub.listing.replace("consolidated", "s-2");
        assertEquals(List.of("config.json", "model.safetensors.index.json", "s-1.safetensors", "s-2.safetensors"), names(fetch()));
    }

    @Test
    void aHostileServerStaysInItsFolder() throws IOException {
        for (String file : List.of("../x.safetensors", "a/../../x", "/etc/passwd", "..", "x\\\\..\\\\y.safetensors", "c:x.safetensors", "")) {
            hub.listing = "{\"sha\":\"" + FakeHub.COMMIT + "\",\"siblings\":[{\"rfilename\":\"" + file + "\"}]}";
            fails("siblings[0].rfilename is \"" + file + "\", it must be a path within the repository");
        }
        hub.listing = "{\"sha\":\"../../../x\",\"siblings\":[]}";
        fails("the server is no Hub, or a broken one: " + hub.uri(), "sha is \"../../../x\", it must be a commit of 40 hexadecimal digits");
        hub.listing = "<html>";
        fails("the server is no Hub, or a broken one: ", "is not JSON");
        hub.listing = null;
        for (String etag : List.of("../../evil", "..", "a/b", "")) {
            hub.etag = etag;
            fails("the server gave the ETag \"" + etag + "\", it must be letters, digits");
        }
        try (Stream<Path> files = Files.walk(temp)) {
            assertEquals(List.of(), files.filter(Files::isRegularFile).toList());
        }
    }

    @Test
    void offlineTheCacheServes() throws IOException {
        assertFails(HubException.class, () -> cache.require(MODEL), "org/tiny-model (main): is not in the cache " + cache.root() + "; download it first");
        assertTrue(cache.find(MODEL).isEmpty());
        Path snapshot = fetch();
        assertEquals(snapshot, cache.require(MODEL));
        hub.close();
        assertEquals(snapshot, fetch());
        assertTrue(heard.getLast().startsWith("cache: 127.0.0.1 cannot be reached: "), heard.getLast());
        Files.delete(snapshot.resolve("model.safetensors"));
        assertFails(HubException.class, () -> cache.require(MODEL), "is only partly in the cache " + cache.root() + ", model.safetensors is missing; download it again");
        assertFails(HubException.class, this::fetch, "127.0.0.1 cannot be reached: ", "not whole in the cache");
        Files.writeString(snapshot.resolve("model.safetensors.index.json"), "{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"../s2\"}}");
        assertFails(HubException.class, () -> cache.require(MODEL), "s1.safetensors, ../s2 are missing");
        Files.writeString(snapshot.resolve("adapter_config.json"), "{}");
        assertFails(HubException.class, () -> cache.require(MODEL), "adapter_model.safetensors is missing");
        Files.writeString(folder().resolve("refs/main"), "../..");
        assertFails(HubException.class, () -> cache.require(MODEL), "refs/main holds \"../..\", it must be a commit");
    }

    @Test
    void redirectsKeepTheTokenOnTheHubAlone() throws IOException {
        endpoint = endpoint.withToken(HubToken.of(SECRET));
        hub.redirect = "/api/models/org/renamed";
        fetch();
        assertTrue(hub.requests.contains("hub GET /api/models/org/renamed Bearer " + SECRET), hub.requests.toString());
        cache = new HubCache(temp.resolve("second"));
        try (FakeHub other = new FakeHub()) {
            other.listing = "{}";
            hub.redirect = other.uri() + "/api/models/org/stolen?x=y";
            fails("sha is missing");
            assertEquals(List.of("hub GET /api/models/org/stolen"), other.requests);
        }
        hub.redirect = "/api/models/org/loop?again";
        fails("org/tiny-model (main): " + hub.uri() + "/api/models/org/tiny-model/revision/main redirects more than 5 times; is the endpoint a Hub?");
        hub.redirect = "file:///etc/passwd";
        fails("redirects to file:/etc/passwd, it must redirect to https");
        hub.redirect = "http://[";
        fails("redirects to something that is no address");
        try (HubHttp http = new HubHttp(MODEL, endpoint)) {
            assertFails(HubException.class, () -> http.redirectTarget(URI.create("https://a/x"), "http://b/y?z"),
                    "https://a/x redirects to http://b/y, it must redirect to https");
            assertFails(HubException.class, () -> http.redirectTarget(URI.create("https://a/x"), "http://user:pw@b/y"), "redirects to http://b/y,");
            assertEquals(URI.create("https://a/y"), http.redirectTarget(URI.create("https://a/x"), "/y"));
        }
    }

    @Test
    void sizesAndTagsMustFit() throws IOException {
        hub.headers.put("ETag", "");
        fails(hub.uri() + "/org/tiny-model/resolve/" + FakeHub.COMMIT + "/config.json has no ETag; is the endpoint a Hub? HF_ENDPOINT names it");
        hub.headers.put("ETag", "W/\"weak\"");
        hub.headers.put("X-Linked-Size", "299999");
        assertFails(IOException.class, this::fetch, "model.safetensors ended after 300000 bytes, it must have 299999");
        assertTrue(Files.exists(folder().resolve("blobs/weak")));
        hub.headers.put("X-Linked-Size", "");
        fetch();
        assertEquals("model.safetensors 300000 of -1", heard.getLast());
        cache = new HubCache(temp.resolve("second"));
        Files.createDirectories(blob().getParent());
        Files.write(blob().resolveSibling(blob().getFileName() + ".incomplete"), weights);
        endpoint = endpoint.withRetries(0);
        assertFails(IOException.class, this::fetch, "/model.safetensors answered 416 to a request for the rest of the file");
        assertArrayEquals(weights, Files.readAllBytes(fetch().resolve("model.safetensors")));
    }

    @Test
    void anEndlessListingIsRefused() {
        hub.listing = " ".repeat(65 << 20);
        fails("/api/models/org/tiny-model/revision/main answers with more than 67108864 bytes");
    }

    @Test
    void theTokensHostIsTheEndpointsExactly() {
        assertTrue(endpoint.isSameOrigin(URI.create(hub.uri() + "/x")));
        assertFalse(endpoint.isSameOrigin(URI.create("http://127.0.0.1:1/x")));
        assertFalse(endpoint.isSameOrigin(URI.create("https://127.0.0.1:" + hub.uri().getPort())));
        assertTrue(HubEndpoint.defaults().isSameOrigin(URI.create("https://huggingface.co:443/x")));
        assertFalse(HubEndpoint.defaults().isSameOrigin(URI.create("https://huggingface.co.evil.example/x")));
        assertFails(IllegalArgumentException.class, () -> HubEndpoint.defaults().withUri(URI.create("ftp://x")), "scheme ftp");
        assertFails(IllegalArgumentException.class, () -> HubEndpoint.defaults().withUri(URI.create("https://u:p@x")), "without user information");
        assertFails(IllegalArgumentException.class, () -> HubEndpoint.defaults().withRetries(-1), "retries is -1");
    }
}
