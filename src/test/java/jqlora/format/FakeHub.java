package jqlora.format;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** A Hub with one model on this machine: an API, small files of its own, and large ones that it redirects to a second server. */
public final class FakeHub implements AutoCloseable {
    public static final String ID = "org/tiny-model";
    public static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";

    private final HttpServer hub = server();
    private final HttpServer storage = server();
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final Map<String, byte[]> files = new LinkedHashMap<>();
    private final Map<String, Fault> faults = new ConcurrentHashMap<>();
    /** What was asked for, such as {@code hub GET /api/... range token}. */
    final List<String> requests = Collections.synchronizedList(new ArrayList<>());
    /** Answers the listing instead, if set. */
    volatile String listing;
    /** ETag of every file, if set. */
    volatile String etag;
    volatile boolean ignoresRange;
    /** Headers of files instead of the usual ones; an empty one is left out. */
    final Map<String, String> headers = new ConcurrentHashMap<>();
    /** Where the listing is, if not where it is asked for. */
    volatile String redirect;

    /** What goes wrong with a request whose path ends with a name, so many times. */
    private static final class Fault {
        private final int status;
        private final String code;
        private final int breakAfter;
        private final boolean damaged;
        private int times;

        private Fault(int status, String code, int breakAfter, boolean damaged, int times) {
            this.status = status;
            this.code = code;
            this.breakAfter = breakAfter;
            this.damaged = damaged;
            this.times = times;
        }
    }

    public FakeHub() {
        for (HttpServer server : List.of(hub, storage)) {
            server.setExecutor(threads);
            server.createContext("/", this::handle);
            server.start();
        }
    }

    private static HttpServer server() {
        try {
            return HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        } catch (IOException noPort) {
            throw new AssertionError(noPort);
        }
    }

    public URI uri() {
        return URI.create("http://127.0.0.1:" + hub.getAddress().getPort());
    }

    private URI storageUri() {
        return URI.create("http://127.0.0.1:" + storage.getAddress().getPort());
    }

    public void file(String name, byte[] content) {
        files.put(name, content);
    }

    void answers(String end, int status, String code, int times) {
        faults.put(end, new Fault(status, code, -1, false, times));
    }

    void breaks(String end, int afterBytes, int times) {
        faults.put(end, new Fault(0, "", afterBytes, false, times));
    }

    void damages(String end, int times) {
        faults.put(end, new Fault(0, "", -1, true, times));
    }

    private Fault fault(String path, String method) {
        for (Map.Entry<String, Fault> entry : faults.entrySet()) {
            Fault fault = entry.getValue();
            boolean applies = path.endsWith(entry.getKey()) && (fault.status > 0 || method.equals("GET"));
            if (applies && fault.times > 0) {
                fault.times--;
                return fault;
            }
        }
        return null;
    }

    private void handle(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath(), method = exchange.getRequestMethod();
        boolean atHub = exchange.getLocalAddress().getPort() == hub.getAddress().getPort();
        String range = exchange.getRequestHeaders().getFirst("Range"), token = exchange.getRequestHeaders().getFirst("Authorization");
        requests.add((atHub ? "hub " : "storage ") + method + " " + path + (range == null ? "" : " " + range) + (token == null ? "" : " " + token));
        try (exchange) {
            boolean redirects = atHub && path.contains("/resolve/") && files.containsKey(name(path)) && large(name(path));
            Fault fault = redirects && method.equals("GET") ? null : fault(path, method);
            if (fault != null && fault.status > 0) {
                exchange.getResponseHeaders().set("X-Error-Code", fault.code);
                exchange.getResponseHeaders().set("Retry-After", "0");
                exchange.sendResponseHeaders(fault.status, -1);
            } else if (redirect != null && path.startsWith("/api/models/") && !path.equals(redirect)) {
                exchange.getResponseHeaders().set("Location", redirect);
                exchange.sendResponseHeaders(307, -1);
            } else if (path.startsWith("/api/models/")) {
                byte[] json = (path.contains("/tree/") ? tree() : listing == null ? info() : listing).getBytes(StandardCharsets.UTF_8);
                exchange.sendResponseHeaders(200, json.length);
                exchange.getResponseBody().write(json);
            } else if (files.containsKey(name(path))) {
                serve(exchange, name(path), redirects, range, fault);
            } else {
                exchange.getResponseHeaders().set("X-Error-Code", "EntryNotFound");
                exchange.sendResponseHeaders(404, -1);
            }
        }
    }

    private static String name(String path) {
        return path.replaceFirst("^(/" + ID + "/resolve/[^/]+|/storage)/", "");
    }

    private void serve(HttpExchange exchange, String name, boolean redirects, String range, Fault fault) throws IOException {
        byte[] content = files.get(name).clone();
        boolean head = exchange.getRequestMethod().equals("HEAD");
        exchange.getResponseHeaders().set("X-Repo-Commit", COMMIT);
        exchange.getResponseHeaders().set("ETag", "\"" + (redirects ? "of-the-redirect" : etag(name)) + "\"");
        if (redirects) {
            exchange.getResponseHeaders().set("X-Linked-Etag", "\"" + etag(name) + "\"");
            exchange.getResponseHeaders().set("X-Linked-Size", String.valueOf(content.length));
            exchange.getResponseHeaders().set("Location", storageUri() + "/storage/" + name + "?signature=secret-signature");
            override(exchange, true);
            exchange.sendResponseHeaders(302, -1);
            return;
        }
        if (fault != null && fault.damaged) {
            content[content.length / 2] ^= 1;
        }
        int first = range == null || ignoresRange ? 0 : Integer.parseInt(range.replaceAll("bytes=(\\d+)-", "$1"));
        override(exchange, false);
        if (first >= content.length && first > 0) {
            exchange.sendResponseHeaders(416, -1);
            return;
        }
        if (head) {
            exchange.getResponseHeaders().set("Content-Length", String.valueOf(content.length));
            exchange.sendResponseHeaders(200, -1);
            return;
        }
        if (first > 0) {
            exchange.getResponseHeaders().set("Content-Range", "bytes " + first + "-" + (content.length - 1) + "/" + content.length);
        }
        int length = content.length - first;
        exchange.sendResponseHeaders(first > 0 ? 206 : 200, length == 0 ? -1 : length);
        OutputStream body = exchange.getResponseBody();
        body.write(content, first, fault == null || fault.breakAfter < 0 ? length : Math.min(length, fault.breakAfter));
        body.flush();
        if (fault != null && fault.breakAfter >= 0) {
            sleep(fault.breakAfter == 0 ? 2000 : 100);           // silent for longer than clients wait, or until they read what was sent
        }
    }

    private void override(HttpExchange exchange, boolean linked) {
        headers.forEach((name, value) -> {
            if (name.startsWith("X-Linked") && !linked) {
                return;
            }
            if (value.isEmpty()) {
                exchange.getResponseHeaders().remove(name);
            } else {
                exchange.getResponseHeaders().set(name, value);
            }
        });
    }

    private static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static boolean large(String name) {
        return name.endsWith(".safetensors");
    }

    /** As on the Hub: the SHA-256 of a large file, git's hash of another. */
    String etag(String name) {
        if (etag != null) {
            return etag;
        }
        byte[] content = files.get(name);
        return large(name) ? hash("SHA-256", content)
                : hash("SHA-1", concat(("blob " + content.length + "\0").getBytes(StandardCharsets.US_ASCII), content));
    }

    static String hash(String algorithm, byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance(algorithm).digest(content));
        } catch (NoSuchAlgorithmException everyJdkHasIt) {
            throw new AssertionError(everyJdkHasIt);
        }
    }

    private static byte[] concat(byte[] a, byte[] b) {
        byte[] both = Arrays.copyOf(a, a.length + b.length);
        System.arraycopy(b, 0, both, a.length, b.length);
        return both;
    }

    private String info() {
        List<Map<String, String>> siblings = files.keySet().stream().map(name -> Map.of("rfilename", name)).toList();
        return PythonJson.defaults().dumps(Map.of("id", ID, "sha", COMMIT, "siblings", siblings));
    }

    private String tree() {
        List<Map<String, Object>> entries = new ArrayList<>();
        files.forEach((name, content) -> {
            Map<String, Object> entry = new LinkedHashMap<>(Map.of("type", "file", "path", name, "size", content.length, "oid", etag(name)));
            if (large(name)) {
                entry.put("lfs", Map.of("oid", etag(name), "size", content.length, "pointerSize", 130));
            }
            entries.add(entry);
        });
        return PythonJson.defaults().dumps(entries);
    }

    /** How many requests begin with {@code start}, such as {@code storage GET}. */
    long count(String start) {
        synchronized (requests) {
            return requests.stream().filter(request -> request.startsWith(start)).count();
        }
    }

    @Override
    public void close() {
        hub.stop(0);
        storage.stop(0);
        threads.shutdownNow();
    }
}
