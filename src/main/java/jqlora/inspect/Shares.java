package jqlora.inspect;

import java.text.DecimalFormat;
import java.text.DecimalFormatSymbols;
import java.util.Locale;
import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.columns.numbers.NumberColumnFormatter;

/** Columns of shares: numbers from 0 to 1, shown in percent. */
public final class Shares {
    private Shares() { }

    /** An empty column whose numbers are shown in percent, with {@code decimals} digits behind the point. */
    public static DoubleColumn column(String name, int decimals) {
        DoubleColumn column = DoubleColumn.create(name);
        String pattern = "0" + (decimals == 0 ? "" : "." + "0".repeat(decimals)) + "%";
        column.setPrintFormatter(new NumberColumnFormatter(new DecimalFormat(pattern, DecimalFormatSymbols.getInstance(Locale.ROOT))));
        return column;
    }
}
