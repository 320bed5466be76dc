package jqlora.kernel;

import java.util.regex.Pattern;
import jqlora.notebook.Rendered;
import org.dflib.jjava.jupyter.kernel.display.DisplayData;
import org.dflib.jjava.jupyter.kernel.display.Renderer;
import org.dflib.jjava.jupyter.kernel.display.mime.MIMEType;

/** The base kernel's renderer, but for values that nobody has registered a form for: those are text as {@link Rendered} writes it. */
final class KernelRenderer extends Renderer {
    private static final Pattern SNIPPET_CLASS = Pattern.compile("REPL\\.\\$JShell\\$\\w+\\$");      // in what Object.toString says of a cell's class

    @Override
    protected DisplayData finalizeDisplayData(DisplayData data, Object value) {
        if (!data.hasDataForType(MIMEType.TEXT_PLAIN)) {
            data.putText(SNIPPET_CLASS.matcher(Rendered.of(value).text()).replaceAll(""));
        }
        return data;
    }
}
