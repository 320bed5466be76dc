package jqlora.kernel;

import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.dflib.jjava.jupyter.messages.publish.PublishStream.StreamType;

/**
 * What cells print, gathered into few large pieces in the order in which it was printed. A cell's output ends after
 * {@code maxPerCell} bytes; whoever prints faster than the pieces are taken waits.
 */
final class StreamBuffer {
    private static final int MAX_WAITING = 1_000_000;
    private static final int MAX_QUESTION = 200;
    private static final long HOLD_NANOS = 250_000_000L;

    /** Text for one of the two streams. */
    record Piece(StreamType stream, String text) { }

    private final long maxPerCell;
    private final PrintStream out = new PrintStream(new Tap(StreamType.OUT), true, StandardCharsets.UTF_8);
    private final PrintStream err = new PrintStream(new Tap(StreamType.ERR), true, StandardCharsets.UTF_8);
    private final List<Piece> closed = new ArrayList<>();
    private final StringBuilder open = new StringBuilder();
    private final StringBuilder line = new StringBuilder();       // of the output, behind its last line end
    private long lineBegunAt;
    private StreamType openStream = StreamType.OUT;
    private long waiting;
    private long printed;
    private long dropped;

    /** @param maxPerCell bytes that one cell may print */
    StreamBuffer(long maxPerCell) {
        this.maxPerCell = maxPerCell;
    }

    PrintStream out() {
        return out;
    }

    PrintStream err() {
        return err;
    }

    /** A new cell may print as much again. */
    synchronized void beginCell() {
        printed = 0;
        dropped = 0;
        line.setLength(0);
    }

    /** Says in the output how much of it was dropped, if any was. */
    synchronized void endCell() {
        if (dropped > 0) {
            append(openStream, String.format(Locale.ROOT, "%n[output cut off after %.1f MB; %.1f MB more are not shown]%n", maxPerCell / 1e6, dropped / 1e6));
            dropped = 0;
        }
    }

    /** Removes and returns what has been printed; a line of the output that has only just begun stays, since it may become a question. */
    synchronized List<Piece> takeLines() {
        boolean fresh = openStream == StreamType.OUT && System.nanoTime() - lineBegunAt < HOLD_NANOS;
        String begun = fresh ? open.substring(open.lastIndexOf("\n") + 1) : "";
        open.setLength(open.length() - begun.length());
        List<Piece> taken = take();
        open.append(begun);
        waiting = begun.length();
        return taken;
    }

    /** Removes and returns all that has been printed. */
    synchronized List<Piece> take() {
        closeOpen();
        List<Piece> taken = List.copyOf(closed);
        closed.clear();
        waiting = 0;
        notifyAll();
        return taken;
    }

    /** Returns what has been printed to the output behind its last line end, and removes what of it has not been taken. */
    synchronized String takeQuestion() {
        if (openStream == StreamType.OUT) {
            int length = open.length() - open.lastIndexOf("\n") - 1;
            open.setLength(open.length() - length);
            waiting -= length;
        }
        String question = line.toString();
        line.setLength(0);
        return question;
    }

    /** Waits until something has been printed. */
    synchronized void awaitText() throws InterruptedException {
        while (waiting == 0) {
            wait();
        }
    }

    private synchronized void print(StreamType stream, String text, int bytes) {
        printed += bytes;
        if (printed > maxPerCell) {
            dropped += bytes;
            return;
        }
        append(stream, text);
        boolean interrupted = false;
        while (waiting > MAX_WAITING && !interrupted) {
            try {
                wait();
            } catch (InterruptedException e) {
                interrupted = true;                               // the text is kept all the same
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void append(StreamType stream, String text) {
        if (stream != openStream) {
            closeOpen();
            openStream = stream;
        }
        open.append(text);
        if (stream == StreamType.OUT) {
            noteLine(text);
        }
        if (waiting == 0) {
            notifyAll();
        }
        waiting += text.length();
    }

    private void noteLine(String text) {
        int end = text.lastIndexOf('\n');
        if (end >= 0) {
            line.setLength(0);
        }
        if (line.isEmpty()) {
            lineBegunAt = System.nanoTime();
        }
        line.append(text, end + 1, text.length());
        if (line.length() > MAX_QUESTION) {
            line.delete(0, line.length() - MAX_QUESTION);
        }
    }

    private void closeOpen() {
        if (!open.isEmpty()) {
            closed.add(new Piece(openStream, open.toString()));
            open.setLength(0);
        }
    }

    /** Turns bytes into text, keeping back a character that is not complete. */
    private final class Tap extends OutputStream {
        private final StreamType stream;
        private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder()
                .onMalformedInput(CodingErrorAction.REPLACE).onUnmappableCharacter(CodingErrorAction.REPLACE);
        private byte[] kept = new byte[0];

        Tap(StreamType stream) {
            this.stream = stream;
        }

        @Override
        public void write(int oneByte) {
            write(new byte[] {(byte) oneByte}, 0, 1);
        }

        @Override
        public synchronized void write(byte[] bytes, int from, int length) {
            ByteBuffer in = ByteBuffer.allocate(kept.length + length).put(kept).put(bytes, from, length).flip();
            CharBuffer text = CharBuffer.allocate(in.remaining() + 1);
            decoder.decode(in, text, false);
            kept = new byte[in.remaining()];
            in.get(kept);
            if (text.position() > 0) {
                print(stream, text.flip().toString(), length);
            }
        }
    }
}
