package jqlora.kernel;

import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import jdk.jshell.SourceCodeAnalysis;
import jqlora.notebook.Display;
import jqlora.notebook.Screen;
import org.dflib.jjava.jupyter.channels.JupyterSocket;
import org.dflib.jjava.jupyter.channels.ReplyEnvironment;
import org.dflib.jjava.jupyter.channels.ShellChannel;
import org.dflib.jjava.jupyter.channels.ShellHandler;
import org.dflib.jjava.jupyter.channels.ShellReplyEnvironment;
import org.dflib.jjava.jupyter.kernel.BaseKernel;
import org.dflib.jjava.jupyter.kernel.HelpLink;
import org.dflib.jjava.jupyter.kernel.LanguageInfo;
import org.dflib.jjava.jupyter.kernel.ReplacementOptions;
import org.dflib.jjava.jupyter.kernel.comm.CommManager;
import org.dflib.jjava.jupyter.kernel.display.DisplayData;
import org.dflib.jjava.jupyter.kernel.magic.MagicsRegistry;
import org.dflib.jjava.jupyter.kernel.util.StringStyler;
import org.dflib.jjava.jupyter.messages.Header;
import org.dflib.jjava.jupyter.messages.Message;
import org.dflib.jjava.jupyter.messages.MessageType;
import org.dflib.jjava.jupyter.messages.publish.PublishError;
import org.dflib.jjava.jupyter.messages.publish.PublishExecuteInput;
import org.dflib.jjava.jupyter.messages.publish.PublishExecuteResult;
import org.dflib.jjava.jupyter.messages.reply.ErrorReply;
import org.dflib.jjava.jupyter.messages.reply.ExecuteReply;
import org.dflib.jjava.jupyter.messages.reply.ShutdownReply;
import org.dflib.jjava.jupyter.messages.request.CompleteRequest;
import org.dflib.jjava.jupyter.messages.request.ExecuteRequest;
import org.dflib.jjava.jupyter.messages.request.HistoryRequest;
import org.dflib.jjava.jupyter.messages.request.KernelInfoRequest;
import org.dflib.jjava.jupyter.messages.request.ShutdownRequest;
import org.zeromq.ZMQ;

/** Jupyter's requests, answered. JShell starts beside the connection: the front end is answered at once, the first cell waits. */
final class QloraKernel extends BaseKernel implements Screen.Owner {
    private static final Duration INTERRUPT_PATIENCE = Duration.ofSeconds(10);

    private static final String VERSION = "0.1";

    private final KernelConnection connection;
    private final CellIO cellIo;
    private final NotebookOutput output;
    private final CellInput input;
    private final CellExecution execution = new CellExecution(INTERRUPT_PATIENCE);
    private final CompilerThread compiler = new CompilerThread();
    private final CompletableFuture<CellRunner> ready = new CompletableFuture<>();
    private volatile CellRunner cells;
    private boolean importing;
    private final Runnable exit;
    private final Path home;
    private final LibraryDocs library;
    private final History history;

    /**
     * @param home jqlora's folder: sources for their documentation, data sets, the cells of former sessions
     * @param exit ends the process; called when the front end asks for it, after the answer has been sent
     */
    QloraKernel(KernelConnection connection, Path home, Runnable exit) {
        this(connection, home, exit, new CellIO());
    }

    private QloraKernel(KernelConnection connection, Path home, Runnable exit, CellIO io) {
        super("java-qlora", VERSION, language(), List.of(new HelpLink("Java 25", "https://docs.oracle.com/en/java/javase/25/docs/api/")), null, io,
                new CommManager(), new KernelRenderer(), null, new MagicsRegistry(), true, new StringStyler.Builder().build());
        this.connection = connection;
        this.home = home;
        this.library = new LibraryDocs(home.resolve(Path.of("src", "main", "java")));
        this.history = new History(home.resolve(Path.of(".jqlora", "history.jsonl")));
        this.exit = exit;
        this.cellIo = io;
        this.output = new NotebookOutput(connection.getIOPub()::sendMessage);
        this.input = new CellInput(connection.input(), output::takeQuestion);
    }

    private static LanguageInfo language() {
        return new LanguageInfo.Builder("java").version(String.valueOf(Runtime.version().feature())).mimetype("text/x-java")
                .fileExtension(".java").pygments("java").codemirror("java").build();
    }

    private CellRunner start() {
        CompletableFuture<Void> vectors = CompletableFuture.runAsync(VectorModule::load, load -> Thread.ofPlatform().daemon().start(load));
        cells = new CellRunner(this, getMagicsRegistry(), execution, compiler);
        onStartup();
        cells.shell().importAll(Notebook.imports());
        try {
            cells.run(0, "\"ready\"", value -> getRenderer().render(value));      // loads what the first cell will need
        } catch (CellFailure interrupted) {
            // by an interrupt that is meant for the first cell
        }
        vectors.join();
        return cells;
    }

    /** Answers the requests of {@code connection}; from here on the system's streams are the notebook's. */
    void serve() {
        becomeHandlerForConnection(connection);
        System.setOut(output.out());
        System.setErr(compiler.guard(output.err()));
        System.setIn(input);
        ready.completeAsync(this::start);                         // behind the streams: javac keeps the one for errors that it finds
    }

    @Override
    public Screen screen() {
        return output;
    }

    @Override
    protected void handleExecuteRequest(ShellReplyEnvironment env, Message<ExecuteRequest> message) {
        ExecuteRequest request = message.getContent();
        boolean counted = !request.isSilent() && request.shouldStoreHistory();
        int cell = counted ? executionCount.getAndIncrement() : executionCount.get();
        getCommManager().setMessageContext(message);
        env.setBusyDeferIdle();
        if (!request.isSilent()) {
            env.publish(new PublishExecuteInput(request.getCode(), cell));
        }
        execution.beginCell();
        output.beginCell(message);
        cellIo.attach(env);
        input.beginCell(message, request.isStdinEnabled());
        try {
            if (counted) {
                history.add(cell, request.getCode());
            }
            Optional<String> question = Assistance.question(request.getCode());
            Optional<DisplayData> page = question.isPresent() ? Optional.of(help(question.get())) : Optional.empty();
            DisplayData value = page.isPresent() ? null : ready.join().run(cell, request.getCode(), this::draw);
            Map<String, Object> expressions = evaluated(request.getUserExpr());
            output.endCell();
            if (value != null && !request.isSilent()) {
                env.publish(new PublishExecuteResult(cell, value));
            }
            reply(env.defer(), message, MessageType.EXECUTE_REPLY, CellReply.of(cell, expressions, page));
            importRest();
            execution.heededAt().ifPresent(stopped -> {           // "Run All" goes no further, what was sent since does run
                List<Message<?>> waiting = takeWaiting(env.getShell());
                env.resolveDeferrals();
                answer(waiting, (ShellChannel) env.getShell(), stopped);
            });
        } catch (CellFailure failure) {
            fail(env, request, cell, failure);
        } catch (RuntimeException | Error ours) {
            fail(env, request, cell, ErrorText.plain(ours.getClass().getSimpleName(), "the kernel failed: " + ours.getMessage()));
        } finally {
            cellIo.detach(env);
        }
    }

    /** Imports after the first cell, one by one behind what is asked meanwhile, what a question about source will need. */
    private void importRest() {
        if (!importing) {
            importing = true;
            Thread.ofPlatform().daemon().name("imports").start(() -> {
                try {
                    while (compiler.call(cells.shell()::importNext)) { }
                } catch (CellFailure never) {
                    throw new AssertionError(never);
                }
            });
        }
    }

    /** What has become of the expressions that came with a cell, in their order. */
    private Map<String, Object> evaluated(Map<String, String> expressions) {
        Map<String, Object> evaluated = new LinkedHashMap<>();
        if (expressions != null) {
            expressions.forEach((name, expression) -> {
                try {
                    evaluated.put(name, CellReply.value(ready.join().evaluate(expression, getRenderer()::render)));
                } catch (CellFailure failure) {
                    evaluated.put(name, CellReply.failure(failure));
                }
            });
        }
        return evaluated;
    }

    /** A thread of a cell has ended with {@code thrown}. */
    void threadEnded(Thread thread, Throwable thrown) {
        cells.shell().errors().inThread(thread.getName(), Thrown.of(thrown)).forEach(System.err::println);
    }

    private void fail(ShellReplyEnvironment env, ExecuteRequest request, int cell, CellFailure failure) {
        output.endCell();
        if (!request.isSilent()) {
            env.publish(new PublishError(failure.name(), failure.getMessage(), failure.lines()));
        }
        ErrorReply reply = new ErrorReply(failure.name(), failure.getMessage(), failure.lines());
        reply.setExecutionCount(cell);
        env.replyError(ExecuteReply.MESSAGE_TYPE.error(), reply);
        List<Message<?>> waiting = request.shouldStopOnError() ? takeWaiting(env.getShell()) : List.of();
        env.resolveDeferrals();
        answer(waiting, (ShellChannel) env.getShell(), Instant.MAX);
    }

    /** What was sent before the front end hears that the cell has ended; what it sends then is another matter. */
    private static List<Message<?>> takeWaiting(JupyterSocket shell) {
        List<Message<?>> waiting = new ArrayList<>();
        while ((shell.getEvents() & ZMQ.Poller.POLLIN) != 0) {
            waiting.add(shell.readMessage());
        }
        return waiting;
    }

    /** Answers {@code messages}: the cells among them that were sent before {@code until}, as "Run All" does, without running them. */
    @SuppressWarnings({"unchecked", "rawtypes"})
    private void answer(List<Message<?>> messages, ShellChannel shell, Instant until) {
        for (Message<?> waiting : messages) {
            ShellReplyEnvironment env = connection.prepareReplyEnv(shell, waiting);
            if (waiting.getContent() instanceof ExecuteRequest && sentAt(waiting).isBefore(until)) {
                env.setBusyDeferIdle();
                env.reply(new Message(waiting, MessageType.EXECUTE_REPLY, Map.of("status", "aborted")));
            } else {
                ShellHandler handler = connection.getHandler(waiting.getHeader().getType());
                if (handler != null) {
                    handler.handle(env, waiting);
                }
            }
            env.resolveDeferrals();
        }
    }

    private static Instant sentAt(Message<?> message) {
        try {
            return OffsetDateTime.parse(message.getHeader().getTimestamp().getDateString()).toInstant();
        } catch (DateTimeParseException | NullPointerException unknown) {
            return Instant.EPOCH;
        }
    }

    private DisplayData draw(Object value) {
        return value instanceof Display ? null : getRenderer().render(value);      // a display shows itself
    }

    @Override
    public Object evalRaw(String source) {                        // for extensions, which may ask while they are installed
        if (Thread.currentThread() instanceof CellThread) {
            throw new IllegalStateException("a cell cannot evaluate source while it runs");
        }
        try {
            return cells.run(executionCount.get() - 1, source, value -> value);
        } catch (CellFailure failure) {
            throw new IllegalArgumentException(failure.getMessage());
        }
    }

    @Override
    public void interrupt() {
        execution.interrupt();
    }

    @Override
    protected void handleCompleteRequest(ShellReplyEnvironment env, Message<CompleteRequest> message) {
        env.setBusyDeferIdle();
        String code = message.getContent().getCode();
        int at = inChars(code, message.getContent().getCursorPos());
        Completions.Found found = completions(code, at);
        int start = code.codePointCount(0, found.start());
        int end = code.codePointCount(0, at);
        List<Map<String, Object>> kinds = new ArrayList<>();
        found.kinds().forEach((name, kind) -> kinds.add(Map.of("text", name, "type", kind, "start", start, "end", end)));
        reply(env, message, MessageType.COMPLETE_REPLY, Map.of("status", "ok", "matches", List.copyOf(found.kinds().keySet()), "cursor_start", start,
                "cursor_end", end, "metadata", Map.of("_jupyter_types_experimental", kinds)));
    }

    @Override
    public ReplacementOptions complete(String code, int at) {
        Completions.Found found = completions(code, at);
        return new ReplacementOptions(List.copyOf(found.kinds().keySet()), found.start(), at);
    }

    private Completions.Found completions(String code, int at) {
        return asked(() -> new Completions(analysis(), getMagicsRegistry(), cells.shell()::declares, home.resolve("datasets")).at(code, at),
                new Completions.Found(at, Map.of()));
    }

    /** A place that the front end counts in characters, as an index into {@code code}. */
    private static int inChars(String code, int codePoints) {
        return code.offsetByCodePoints(0, Math.clamp(codePoints, 0, code.codePointCount(0, code.length())));
    }

    @Override
    public DisplayData inspect(String code, int at, boolean extraDetail) {
        return asked(() -> assistance().inspect(code, inChars(code, at)), null);
    }

    private DisplayData help(String name) throws CellFailure {
        DisplayData found = asked(() -> assistance().help(name), null);
        if (found == null) {
            throw ErrorText.plain("NoHelp", name + ": no type, method or variable of this name is known");
        }
        return found;
    }

    @Override
    public String isComplete(String code) {
        return asked(() -> new Assistance(cells.shell().analysis(), library).isComplete(code), IS_COMPLETE_MAYBE);
    }

    /** The answer to a question about source, or {@code otherwise} where the compiler fails on it. */
    private <T> T asked(Callable<T> question, T otherwise) {
        ready.join();
        try {
            return compiler.call(question);
        } catch (CellFailure | RuntimeException | StackOverflowError failed) {
            return otherwise;                                     // an editor asks often, and about half-written source
        } finally {
            compiler.takePrinted();
        }
    }

    private Assistance assistance() {
        return new Assistance(analysis(), library);
    }

    private SourceCodeAnalysis analysis() {
        cells.shell().importRest();
        return cells.shell().analysis();
    }

    @Override
    protected void handleHistoryRequest(ShellReplyEnvironment env, Message<HistoryRequest> message) {
        env.setBusyDeferIdle();
        HistoryRequest request = message.getContent();
        List<History.Entry> found = switch (request) {
            case HistoryRequest.Tail tail -> history.tail(tail.getMaxReturnLength());
            case HistoryRequest.Range range -> history.range(range.getSessionIndex(), range.getStart(), range.getStop());
            case HistoryRequest.Search search -> history.search(search.getPattern() == null ? "*" : search.getPattern(), search.getMaxReturnLength(), search.filterUnique());
            default -> List.of();
        };
        List<List<Object>> entries = new ArrayList<>();
        for (History.Entry one : found) {
            entries.add(List.of(one.session(), one.line(), request.includeOutput() ? Arrays.asList(one.input(), null) : one.input()));
        }
        reply(env, message, MessageType.HISTORY_REPLY, Map.of("status", "ok", "history", entries));
    }

    @Override
    protected void handleKernelInfoRequest(ShellReplyEnvironment env, Message<KernelInfoRequest> message) {
        env.setBusyDeferIdle();
        reply(env, message, MessageType.KERNEL_INFO_REPLY, Map.of("status", "ok", "protocol_version", Header.PROTOCOL_VERISON, "implementation", "java-qlora",
                "implementation_version", VERSION, "language_info", getLanguageInfo(), "banner", getBanner(), "help_links", getHelpLinks()));
    }

    /** A reply with a status, which the base kernel's own lack. */
    @SuppressWarnings({"unchecked", "rawtypes"})
    private static void reply(ReplyEnvironment env, Message<?> request, MessageType<?> type, Map<String, Object> content) {
        env.reply(new Message(request, type, content));
    }

    @Override
    protected void handleShutdownRequest(ShellReplyEnvironment env, Message<ShutdownRequest> message) {
        env.setBusyDeferIdle();
        env.reply(message.getContent().isRestart() ? ShutdownReply.SHUTDOWN_AND_RESTART : ShutdownReply.SHUTDOWN);
        env.resolveDeferrals();
        exit.run();
    }
}
