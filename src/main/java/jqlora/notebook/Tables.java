package jqlora.notebook;

/** Tables of one's own, in one line. */
public final class Tables {
    private Tables() { }

    /**
     * An empty table with a title and named columns; rows are added to it.
     *
     * <pre>{@code
     * Tables.of("held-out loss", "weights", "loss", "kept").percent("kept")
     *     .row("base", 5.751, 0).row("base + adapter", 4.533, 1)
     * }</pre>
     *
     * Numbers of a column are written alike, with as many decimals, and stand to the right, so that they stand at the point.
     *
     * @param title stands above the table; empty for none
     * @param columns at least one, no two alike
     */
    public static HtmlTable of(String title, String... columns) {
        return new HtmlTable(columns).caption(title);
    }
}
