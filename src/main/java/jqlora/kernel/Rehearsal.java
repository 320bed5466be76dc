package jqlora.kernel;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import jqlora.format.PythonJson;
import org.dflib.jjava.jupyter.kernel.KernelConnectionProperties;
import org.dflib.jjava.jupyter.messages.HMACGenerator;
import org.zeromq.SocketType;
import org.zeromq.ZContext;
import org.zeromq.ZMQ;

/** A short session with a kernel, from the front end's side and over its sockets: what the JVM's cache for the quick start is made from. */
final class Rehearsal implements AutoCloseable {
    /** Cells of the kinds that notebooks begin with. */
    private static final List<String> CELLS = List.of("1 + 1", "var rows = List.of(1, 2, 3);\nrows.stream().mapToInt(i -> i * i).sum()", """
            record Pair(String name, double value) { }
            String f(Pair pair) { return pair.name() + pair.value(); }
            System.out.println(f(new Pair("a", 0.5)));""", """
            show(Tables.of("", "n").row(1));
            Tables.of("", "n").row(1)""", """
            var chart = new XYChartBuilder().width(300).height(200).build();
            chart.addSeries("a", new double[] {1, 2}, new double[] {2, 1});
            chart""", """
            try (Progress bar = progress("steps", 2)) { bar.step(2); }""", "int y = missing;", "throw new IllegalStateException(\"no\");");
    private static final int SILENCE_MILLIS = 250;
    private static final int PATIENCE_MILLIS = 60_000;

    private final ZContext context = new ZContext();
    private final ZMQ.Socket shell = context.createSocket(SocketType.DEALER);
    private final ZMQ.Socket published = context.createSocket(SocketType.SUB);
    private final HMACGenerator signature;

    Rehearsal(KernelConnectionProperties kernel) throws GeneralSecurityException {
        signature = kernel.createHMACGenerator();
        shell.connect("tcp://" + kernel.getIp() + ":" + kernel.getShellPort());
        published.subscribe(ZMQ.SUBSCRIPTION_ALL);
        published.connect("tcp://" + kernel.getIp() + ":" + kernel.getIopubPort());
    }

    /** A connection on ports of this machine that are free. */
    static KernelConnectionProperties onThisMachine() throws IOException {
        List<ServerSocket> free = new ArrayList<>();
        try {
            while (free.size() < 5) {
                free.add(new ServerSocket(0, 1, InetAddress.getLoopbackAddress()));
            }
        } finally {
            free.forEach(Rehearsal::close);
        }
        List<Integer> ports = free.stream().map(ServerSocket::getLocalPort).toList();
        return new KernelConnectionProperties("127.0.0.1", ports.get(0), ports.get(1), ports.get(2), ports.get(3), ports.get(4),
                "tcp", "hmac-sha256", UUID.randomUUID().toString());
    }

    private static void close(ServerSocket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * Runs the cells and asks what an editor asks.
     *
     * @throws IllegalStateException if the kernel takes more than a minute for one of them
     */
    void run() {
        greet();
        for (String cell : CELLS) {
            ask("execute_request", Map.of("code", cell, "silent", false, "store_history", false, "user_expressions", Map.of(),
                    "allow_stdin", false, "stop_on_error", false));
        }
        ask("complete_request", Map.of("code", "System.ou", "cursor_pos", 9));
        ask("inspect_request", Map.of("code", "String", "cursor_pos", 3, "detail_level", 0));
        ask("is_complete_request", Map.of("code", "int x = (3 +"));
    }

    /** Asks for the kernel's name until what it publishes is heard here. */
    private void greet() {
        published.setReceiveTimeOut(SILENCE_MILLIS);
        for (long start = System.nanoTime(); published.recv() == null; ) {
            send("kernel_info_request", Map.of());
            requireSoon(start, "kernel_info_request");
        }
    }

    private void ask(String type, Map<String, Object> content) {
        String request = send(type, content);
        for (long start = System.nanoTime(); !idleAfter(request); ) {
            requireSoon(start, type);
        }
    }

    private static void requireSoon(long start, String type) {
        if ((System.nanoTime() - start) / 1_000_000 > PATIENCE_MILLIS) {
            throw new IllegalStateException("rehearsal: no answer to " + type + " within " + PATIENCE_MILLIS / 1_000 + " s");
        }
    }

    /** Whether the next message says that the kernel has done with {@code request}. */
    private boolean idleAfter(String request) {
        StringBuilder message = new StringBuilder();
        do {
            byte[] frame = published.recv();
            message.append(frame == null ? "" : new String(frame, StandardCharsets.UTF_8));
        } while (published.hasReceiveMore());
        return message.indexOf(request) >= 0 && message.indexOf("\"execution_state\":\"idle\"") >= 0;
    }

    private String send(String type, Map<String, Object> content) {
        String id = UUID.randomUUID().toString();
        Map<String, Object> header = Map.of("msg_id", id, "session", "rehearsal", "username", "", "date", Instant.now().toString(),
                "msg_type", type, "version", "5.3");
        byte[][] parts = {json(header), json(Map.of()), json(Map.of()), json(content)};
        shell.sendMore("<IDS|MSG>");
        shell.sendMore(signature.calculateSignature(parts));
        for (int i = 0; i < parts.length; i++) {
            shell.send(parts[i], i + 1 < parts.length ? ZMQ.SNDMORE : 0);
        }
        return id;
    }

    private static byte[] json(Map<String, Object> value) {
        return PythonJson.defaults().dumps(value).getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        context.close();
    }
}
