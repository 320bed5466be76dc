package jqlora.kernel;

import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Supplier;
import org.dflib.jjava.jupyter.channels.StdinChannel;
import org.dflib.jjava.jupyter.messages.Message;
import org.dflib.jjava.jupyter.messages.MessageContext;
import org.dflib.jjava.jupyter.messages.reply.InputReply;
import org.dflib.jjava.jupyter.messages.request.InputRequest;
import org.zeromq.ZMQ;

/**
 * What a cell reads from System.in: lines that the front end asks the reader for, with what the cell has printed last as the
 * question. The channel is a thread's own, so that the thread that waits for the line can be interrupted.
 */
final class CellInput extends InputStream {
    private static final int LOOK_EVERY_MILLIS = 30;

    private final StdinChannel channel;
    private final Supplier<String> question;
    private final LinkedBlockingQueue<Request> requests = new LinkedBlockingQueue<>();
    private volatile MessageContext cell;
    private volatile boolean takesInput;
    private byte[] line = new byte[0];
    private int next;

    private record Request(MessageContext cell, String prompt, CompletableFuture<String> answer) { }

    /** @param question what has been printed and should stand in the box; called before the front end is asked */
    CellInput(StdinChannel channel, Supplier<String> question) {
        this.channel = channel;
        this.question = question;
        Thread.ofPlatform().daemon().name("notebook-input").start(this::serve);
    }

    /** From here on input is asked for in the name of {@code request}, where its front end {@code takesInput}. */
    void beginCell(MessageContext request, boolean takesInput) {
        this.cell = request;
        this.takesInput = takesInput;
        this.line = new byte[0];
        this.next = 0;
    }

    @Override
    public synchronized int read() {
        if (next == line.length) {
            line = (ask() + System.lineSeparator()).getBytes(StandardCharsets.UTF_8);
            next = 0;
        }
        return line[next++] & 0xff;
    }

    @Override
    public synchronized int read(byte[] into, int from, int length) {
        if (length == 0) {
            return 0;
        }
        int count = 0;
        do {
            into[from + count++] = (byte) read();
        } while (count < length && next < line.length);
        return count;
    }

    @Override
    public synchronized int available() {
        return line.length - next;
    }

    private String ask() {
        if (!takesInput) {
            throw new UnsupportedOperationException("this front end takes no input: give the cell its text in a variable, such as"
                    + " new Scanner(\"the text\"), or run the notebook in JupyterLab");
        }
        Request request = new Request(cell, question.get(), new CompletableFuture<>());
        requests.add(request);
        try {
            return request.answer.get();
        } catch (InterruptedException e) {
            request.answer.cancel(false);
            throw new CellThread.CellStopped();
        } catch (ExecutionException failed) {
            throw new IllegalStateException("the front end was asked for input: " + failed.getCause(), failed.getCause());
        }
    }

    private void serve() {
        while (true) {
            try {
                answer(requests.take());
            } catch (InterruptedException end) {
                return;
            }
        }
    }

    private void answer(Request request) {
        try {
            while (arrives(0)) {
                channel.readMessage();                            // answers a question that nobody waits for any more
            }
            channel.sendMessage(new Message<>(request.cell, InputRequest.MESSAGE_TYPE, new InputRequest(request.prompt, false)));
            while (!request.answer.isDone()) {
                if (arrives(LOOK_EVERY_MILLIS)) {
                    request.answer.complete(channel.readMessage(InputReply.MESSAGE_TYPE).getContent().getValue());
                }
            }
        } catch (RuntimeException failed) {
            request.answer.completeExceptionally(failed);
        }
    }

    private boolean arrives(int millis) {
        for (int waited = 0; (channel.getEvents() & ZMQ.Poller.POLLIN) == 0; waited++) {
            if (waited >= millis) {
                return false;
            }
            try {
                Thread.sleep(1);
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
        return true;
    }
}
