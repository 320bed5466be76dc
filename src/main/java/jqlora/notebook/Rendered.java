package jqlora.notebook;

import ai.djl.ndarray.NDArray;
import java.awt.image.BufferedImage;
import java.lang.reflect.Array;
import java.util.Collection;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.knowm.xchart.internal.chartpart.Chart;
import tech.tablesaw.columns.Column;
import tech.tablesaw.table.Relation;
import tech.tablesaw.api.Table;

/**
 * A value ready to be shown: always as text, and as HTML or a picture where it has one.
 *
 * @param text for terminals; also what a notebook keeps beside the rich forms
 */
public record Rendered(String text, Optional<String> html, Optional<PngImage> png) {
    private static final int MAX_TEXT = 200_000;
    private static final int MAX_HTML = 1_000_000;
    private static final int MAX_ARRAY_ELEMENTS = 100;
    private static final int MAX_ELEMENTS = 1_000;
    private static final int MAX_DEPTH = 6;

    public Rendered {
        text = text == null ? "null" : text;                      // a toString() of the user's may return that
        if (text.length() > MAX_TEXT) {
            text = text.substring(0, MAX_TEXT) + "\n... " + (text.length() - MAX_TEXT) + " more characters";
        }
        html = html.filter(whole -> whole.length() <= MAX_HTML);  // cut in two it would be broken; the text says the same
    }

    /** Text alone. */
    public static Rendered text(String text) {
        return new Rendered(text, Optional.empty(), Optional.empty());
    }

    /** {@code value} as a notebook shows it; tables in {@link TableView#DEFAULT_ROWS} rows. */
    public static Rendered of(Object value) {
        return of(value, TableView.DEFAULT_ROWS);
    }

    /** {@code value} as a notebook shows it; tables in at most {@code rows} rows. */
    public static Rendered of(Object value, int rows) {
        return switch (value) {
            case null -> text("null");
            case Rendered ready -> ready;
            case Displayable own -> of(own);
            case Relation table -> of(new TableView(table, rows));
            case Column<?> column -> of(new TableView(Table.create(column), rows));
            case Chart<?, ?> chart -> new Rendered(describe(chart), Optional.empty(), Optional.of(PngImage.of(chart)));
            case NDArray array -> of(ArrayView.of(array));
            case BufferedImage image -> new Rendered("image " + image.getWidth() + "x" + image.getHeight(),
                    Optional.empty(), Optional.of(PngImage.of(image)));
            default -> {
                Displayable view = ValueViews.of(value, rows);
                yield view == null ? text(plain(value, 0)) : of(view);
            }
        };
    }

    private static Rendered of(Displayable own) {
        Optional<PngImage> png = own.png();
        return new Rendered(own.text(), png.isPresent() ? Optional.empty() : Optional.of(own.html()), png);
    }

    private static String describe(Chart<?, ?> chart) {
        return chart.getClass().getSimpleName() + " '" + chart.getTitle() + "' " + chart.getWidth() + "x" + chart.getHeight();
    }

    private static String plain(Object value, int depth) {
        if (value != null && value.getClass().isArray()) {
            String type = value.getClass().getComponentType().getSimpleName();
            return type + "[" + Array.getLength(value) + "] " + (depth == MAX_DEPTH ? "{...}" : elements(value, depth));
        }
        return switch (value) {
            case Collection<?> many when many.size() > MAX_ELEMENTS && isJdks(many) -> first(many, many.size());
            case Map<?, ?> many when many.size() > MAX_ELEMENTS && isJdks(many) -> first(many.entrySet(), many.size());
            case null, default -> String.valueOf(value);
        };
    }

    private static String elements(Object array, int depth) {
        int length = Array.getLength(array);
        StringBuilder text = new StringBuilder("{");
        for (int i = 0; i < Math.min(length, MAX_ARRAY_ELEMENTS); i++) {
            text.append(i == 0 ? "" : ", ").append(plain(Array.get(array, i), depth + 1));
        }
        return text.append(length > MAX_ARRAY_ELEMENTS ? ", ... " + (length - MAX_ARRAY_ELEMENTS) + " more}" : "}").toString();
    }

    private static boolean isJdks(Object value) {
        return value.getClass().getName().startsWith("java.");    // others write themselves
    }

    private static String first(Collection<?> many, int size) {
        String shown = many.stream().limit(MAX_ELEMENTS).map(String::valueOf).collect(Collectors.joining(", "));
        return "[" + shown + ", ... " + (size - MAX_ELEMENTS) + " more]";
    }
}
