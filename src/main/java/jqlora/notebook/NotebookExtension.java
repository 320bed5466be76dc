package jqlora.notebook;

import org.dflib.jjava.jupyter.Extension;
import org.dflib.jjava.jupyter.kernel.BaseKernel;
import org.dflib.jjava.jupyter.kernel.display.RenderContext;
import org.dflib.jjava.jupyter.kernel.display.mime.MIMEType;

/**
 * Teaches a kernel of the JJava family to show tables, charts, arrays and our own types. Found through {@link java.util.ServiceLoader}
 * by our kernel and by a stock one alike, so it keeps to what JJava has had since 1.0-a6.
 */
public final class NotebookExtension implements Extension {
    /** A kernel asks for the form of a value's own class first, then of what it implements and extends: for everything that nobody else knows, it asks here. */
    @Override
    public void install(BaseKernel kernel) {
        kernel.getRenderer().createRegistration(Object.class).preferring(MIMEType.TEXT_HTML, MIMEType.IMAGE_PNG).register(NotebookExtension::render);
    }

    /** What has no form but its text is left to the kernel. */
    private static void render(Object value, RenderContext context) {
        Rendered shown = Rendered.of(value);
        if (shown.html().isPresent() || shown.png().isPresent() || value instanceof Rendered || value instanceof Displayable) {
            KernelScreen.fill(context.getOutputContainer(), shown);
        }
    }
}
