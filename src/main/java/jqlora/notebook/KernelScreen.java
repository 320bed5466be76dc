package jqlora.notebook;

import java.util.Map;
import org.dflib.jjava.jupyter.kernel.BaseKernel;
import org.dflib.jjava.jupyter.kernel.display.DisplayData;
import org.dflib.jjava.jupyter.kernel.display.mime.MIMEType;

/** The outputs of a stock JJava notebook, which takes them only while a cell runs, and takes none back. */
public record KernelScreen(BaseKernel kernel) implements Screen {
    @Override
    public void show(Rendered content) {
        DisplayData message = new DisplayData();
        fill(message, content);
        kernel.display(message);
    }

    @Override
    public void open(String id, Rendered content) {
        kernel.display(message(id, content));
    }

    @Override
    public void update(String id, Rendered content, boolean last) {
        kernel.getIO().display.updateDisplay(message(id, content));
    }

    @Override
    public void clear() { }

    @Override
    public void atCellEnd(Runnable action) { }

    /** {@code content} as a Jupyter bundle under {@code id}. */
    public static DisplayData message(String id, Rendered content) {
        DisplayData message = new DisplayData();
        fill(message, content);
        message.putTransientData(DisplayData.DISPLAY_ID_KEY, id);      // setDisplayId has changed between a6 and a8
        return message;
    }

    /** Puts every form of {@code content} into {@code message}. */
    public static void fill(DisplayData message, Rendered content) {
        message.putText(content.text());
        content.html().ifPresent(message::putHTML);
        content.png().ifPresent(png -> message.putData(MIMEType.IMAGE_PNG, png.base64(), Map.of("width", png.width(), "height", png.height())));
    }
}
