package jqlora.kernel;

import java.io.PrintStream;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.function.Supplier;
import jqlora.notebook.KernelScreen;
import jqlora.notebook.PngImage;
import jqlora.notebook.Rendered;
import jqlora.notebook.Screen;
import org.dflib.jjava.jupyter.kernel.display.DisplayData;
import org.dflib.jjava.jupyter.messages.ContentType;
import org.dflib.jjava.jupyter.messages.Message;
import org.dflib.jjava.jupyter.messages.MessageContext;
import org.dflib.jjava.jupyter.messages.publish.PublishClearOutput;
import org.dflib.jjava.jupyter.messages.publish.PublishDisplayData;
import org.dflib.jjava.jupyter.messages.publish.PublishStream;
import org.dflib.jjava.jupyter.messages.publish.PublishUpdateDisplayData;

/**
 * Everything that a notebook's cells show and print, on its way to the front end: from any thread, in the order in which it was
 * shown, gathered into few messages. What comes between two cells belongs to the
 * cell before.
 */
final class NotebookOutput implements Screen {
    private static final long GATHER_NANOS = 50_000_000L;         // 20 pieces of printed text a second
    private static final long MAX_PRINTED_PER_CELL = 5_000_000L;

    private final Outbox outbox;
    private final StreamBuffer streams = new StreamBuffer(MAX_PRINTED_PER_CELL);
    private final Set<Runnable> atCellEnd = new LinkedHashSet<>();
    private volatile MessageContext cell;

    /** @param wire sends a message to every front end */
    NotebookOutput(Consumer<Message<?>> wire) {
        this.outbox = new Outbox(wire);
        Thread.ofPlatform().daemon().name("notebook-output").start(this::sendPrinted);
    }

    /** Prints into the notebook. */
    PrintStream out() {
        return streams.out();
    }

    /** Prints into the notebook, as errors. */
    PrintStream err() {
        return streams.err();
    }

    /** From here on output belongs to the cell that {@code request} runs. */
    void beginCell(MessageContext request) {
        flush();
        cell = request;
        streams.beginCell();
    }

    /** Sends all that the cell has shown and printed, and waits until it has left. */
    void endCell() {
        List<Runnable> actions;
        synchronized (atCellEnd) {
            actions = List.copyOf(atCellEnd);
            atCellEnd.clear();
        }
        actions.forEach(Runnable::run);
        streams.endCell();
        flush();
        outbox.awaitSent();
    }

    /** What the cell has printed behind its last line end; what of it has not been sent is taken out of its output, and all before it is sent. */
    String takeQuestion() {
        String question;
        synchronized (this) {
            question = streams.takeQuestion();
            flush();
        }
        outbox.awaitSent();
        return question;
    }

    @Override
    public void show(Rendered content) {
        DisplayData message = new DisplayData();
        KernelScreen.fill(message, content);
        send(new PublishDisplayData(message), size(content));
    }

    @Override
    public void open(String id, Rendered content) {
        send(new PublishDisplayData(KernelScreen.message(id, content)), size(content));
    }

    @Override
    public void update(String id, Rendered content, boolean last) {
        send(new PublishUpdateDisplayData(KernelScreen.message(id, content)), size(content));
    }

    @Override
    public void clear() {
        send(PublishClearOutput.NOW, 0);
    }

    @Override
    public <T> T undisturbed(Supplier<T> drawing) {
        return Thread.currentThread() instanceof CellThread cells ? cells.undisturbed(drawing) : Screen.super.undisturbed(drawing);
    }

    @Override
    public void atCellEnd(Runnable action) {
        synchronized (atCellEnd) {
            atCellEnd.add(action);
        }
    }

    private synchronized <T extends ContentType<T>> void send(T content, long size) {
        flush();
        publish(content, size);
    }

    /** Sends what has been printed so far. */
    private void flush() {
        send(streams::take);
    }

    private synchronized void send(Supplier<List<StreamBuffer.Piece>> printed) {
        for (StreamBuffer.Piece piece : printed.get()) {
            publish(new PublishStream(piece.stream(), piece.text()), piece.text().length());
        }
    }

    private <T extends ContentType<T>> void publish(T content, long size) {
        if (cell != null) {                                       // nobody listens before the first cell
            outbox.put(new Message<>(cell, content.getType(), content, null, Map.of()), size);
        }
    }

    private void sendPrinted() {
        try {
            while (true) {
                streams.awaitText();
                LockSupport.parkNanos(GATHER_NANOS);
                send(streams::takeLines);
            }
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    private static long size(Rendered content) {
        return content.text().length() + content.html().map(String::length).orElse(0) + content.png().map(PngImage::base64).map(String::length).orElse(0);
    }
}
