package jqlora.notebook;

import ai.djl.ndarray.NDArray;
import java.util.List;
import org.dflib.jjava.jupyter.Extension;
import org.dflib.jjava.jupyter.kernel.BaseKernel;
import org.dflib.jjava.jupyter.kernel.display.RenderContext;
import org.dflib.jjava.jupyter.kernel.display.Renderer;
import org.dflib.jjava.jupyter.kernel.display.mime.MIMEType;
import org.knowm.xchart.internal.chartpart.Chart;
import tech.tablesaw.columns.Column;
import tech.tablesaw.table.Relation;

/**
 * Teaches a kernel of the JJava family to show tables, charts, arrays and our own types. Found through {@link java.util.ServiceLoader}
 * by our kernel and by a stock one alike, so it keeps to what JJava has had since 1.0-a6.
 */
public final class NotebookExtension implements Extension {
    private static final List<Class<?>> SHOWN = List.of(Displayable.class, Rendered.class, Relation.class, Column.class, Chart.class, NDArray.class);

    @Override
    public void install(BaseKernel kernel) {
        SHOWN.forEach(type -> register(kernel.getRenderer(), type));
    }

    private static <T> void register(Renderer renderer, Class<T> type) {
        renderer.createRegistration(type).preferring(MIMEType.TEXT_HTML, MIMEType.IMAGE_PNG).register(NotebookExtension::render);
    }

    private static void render(Object value, RenderContext context) {
        KernelScreen.fill(context.getOutputContainer(), Rendered.of(value));
    }
}
