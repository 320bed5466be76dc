package jqlora.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import jqlora.notebook.Rendered;
import org.dflib.jjava.jupyter.kernel.display.DisplayData;
import org.dflib.jjava.jupyter.kernel.display.mime.MIMEType;
import org.dflib.jjava.jupyter.messages.Header;
import org.dflib.jjava.jupyter.messages.Message;
import org.dflib.jjava.jupyter.messages.MessageType;
import org.dflib.jjava.jupyter.messages.publish.PublishClearOutput;
import org.dflib.jjava.jupyter.messages.publish.PublishStream;
import org.dflib.jjava.jupyter.messages.publish.PublishStream.StreamType;
import org.dflib.jjava.jupyter.messages.request.ExecuteRequest;
import org.junit.jupiter.api.Test;

class NotebookOutputTest {
    private final List<Message<?>> sent = Collections.synchronizedList(new ArrayList<>());
    private final NotebookOutput output = new NotebookOutput(sent::add);
    private final Message<ExecuteRequest> cell = request();

    private static Message<ExecuteRequest> request() {
        return new Message<>(new Header<>(MessageType.EXECUTE_REQUEST), new ExecuteRequest("", false, true, null, false, true));
    }

    private String printed(StreamType stream) {
        StringBuilder text = new StringBuilder();
        for (Message<?> message : List.copyOf(sent)) {
            if (message.getContent() instanceof PublishStream piece && piece.getStreamType() == stream) {
                text.append(piece.getText());
            }
        }
        return text.toString();
    }

    @Test
    void aFloodArrivesCompleteInFewMessages() {
        output.beginCell(cell);
        StringBuilder expected = new StringBuilder();
        for (int i = 0; i < 50_000; i++) {
            output.out().println("line " + i);
            expected.append("line ").append(i).append(System.lineSeparator());
        }
        output.endCell();
        assertEquals(expected.toString(), printed(StreamType.OUT));
        assertTrue(sent.size() < 200, "messages: " + sent.size());
    }

    @Test
    void outputBeyondFiveMegabytesIsCutWithANote() {
        output.beginCell(cell);
        String line = "x".repeat(99_999) + "\n";
        for (int i = 0; i < 60; i++) {
            output.out().print(line);
        }
        output.endCell();
        String text = printed(StreamType.OUT);
        assertTrue(text.endsWith("[output cut off after 5.0 MB; 1.0 MB more are not shown]" + System.lineSeparator()), text.substring(text.length() - 100));
        output.beginCell(request());
        output.out().print("again");
        output.endCell();
        assertTrue(printed(StreamType.OUT).endsWith("again"));
    }

    @Test
    void whatIsShownStaysBehindWhatWasPrintedBefore() {
        output.beginCell(cell);
        output.out().print("one");
        output.err().print("two");
        output.out().print("three");
        output.show(Rendered.text("four"));
        output.out().print("five");
        output.endCell();
        List<String> order = sent.stream().map(message -> message.getContent() instanceof PublishStream piece
                ? piece.getText() : (String) ((DisplayData) message.getContent()).getData(MIMEType.TEXT_PLAIN)).toList();
        assertEquals("one two three four five", String.join(" ", order).replace("onetwo", "one two"));
        assertTrue(sent.stream().allMatch(message -> message.getParentHeader() == cell.getHeader()));
    }

    @Test
    void whatIsClearedComesBeforeAndWhatStaysBehind() {
        output.beginCell(cell);
        output.out().print("gone");
        output.clear();
        output.out().print("stays");
        output.endCell();
        assertEquals(List.of("gone", "clear", "stays"), sent.stream().map(message ->
                message.getContent() instanceof PublishStream piece ? piece.getText()
                        : message.getContent() == PublishClearOutput.NOW ? "clear" : "?").toList());
    }

    @Test
    void aCharacterInTwoPiecesOfBytesIsOneCharacter() {
        output.beginCell(cell);
        byte[] bytes = "量子".getBytes(StandardCharsets.UTF_8);
        output.out().write(bytes, 0, 2);
        output.out().write(bytes, 2, 2);
        output.out().write(bytes, 4, 2);
        output.endCell();
        assertEquals("量子", printed(StreamType.OUT));
    }

    @Test
    void whatIsPrintedBetweenCellsArrivesWithTheCellBefore() throws InterruptedException {
        output.beginCell(cell);
        output.endCell();
        output.out().print("late");
        for (int i = 0; i < 100 && printed(StreamType.OUT).isEmpty(); i++) {
            Thread.sleep(20);
        }
        assertEquals("late", printed(StreamType.OUT));
        assertEquals(cell.getHeader(), sent.getLast().getParentHeader());
    }

    @Test
    void cellEndRunsEveryPendingActionOnce() {
        List<String> ran = new ArrayList<>();
        output.beginCell(cell);
        output.atCellEnd(() -> ran.add("drawn"));
        output.endCell();
        output.endCell();
        assertEquals(List.of("drawn"), ran);
    }

    @Test
    void anInterruptWhileAPictureIsDrawnComesAfterwards() throws Exception {
        CellThread cells = new CellThread();
        cells.start();
        CompletableFuture<Boolean> during = new CompletableFuture<>();
        CompletableFuture<Boolean> after = new CompletableFuture<>();
        cells.take(cells.watched(() -> {
            output.undisturbed(() -> {
                cells.interrupt();
                return during.complete(Thread.interrupted());     // as Java2D does when it draws for the first time
            });
            return after.complete(Thread.currentThread().isInterrupted());
        }));
        assertEquals(List.of(false, true), List.of(during.get(10, TimeUnit.SECONDS), after.get(10, TimeUnit.SECONDS)));
    }

    @Test
    void paceLetsABurstThroughAndThenAsksToWait() {
        Pace pace = new Pace(100, 50, 0);
        assertEquals(0, pace.spend(50, 0));
        assertEquals(100_000_000L, pace.spend(10, 0));
        assertEquals(0, pace.spend(10, 1_000_000_000L));
    }
}
