package jqlora.inspect;

import java.awt.Color;
import java.awt.Font;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.util.List;
import java.util.function.DoubleFunction;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.HeatMapSeries;
import org.knowm.xchart.internal.chartpart.Annotation;

/** The numbers in the cells of a heat map, white on dark cells and dark on light ones; XChart itself has one colour for all. */
final class HeatMapValues extends Annotation {
    private static final int LEAST_POINTS = 7;

    private final HeatMapChart map;
    private final DoubleFunction<String> text;

    /** @param text how a cell's value is written */
    HeatMapValues(HeatMapChart map, DoubleFunction<String> text) {
        super(true);
        this.map = map;
        this.text = text;
    }

    @Override
    public void paint(Graphics2D g) {
        HeatMapSeries series = map.getHeatMapSeries();
        if (series == null || !series.isEnabled()) {
            return;
        }
        int columns = series.getXData().size(), rows = series.getYData().size();
        double plotWidth = getXAxisScreenValueForMax() - getXAxisScreenValueForMin(), plotHeight = Math.abs(getYAxisScreenValueForMax() - getYAxisScreenValueForMin());
        double share = map.getStyler().getPlotContentSize(), width = share * plotWidth / columns, height = share * plotHeight / rows;
        double left = getXAxisScreenValueForMin() + (plotWidth - columns * width) / 2;
        double top = Math.min(getYAxisScreenValueForMin(), getYAxisScreenValueForMax()) + (plotHeight - rows * height) / 2;
        List<? extends Number[]> cells = series.getHeatData();
        for (Number[] cell : cells) {
            if (cell == null || cell[2] == null) {
                continue;
            }
            String written = text.apply(cell[2].doubleValue());
            FontMetrics font = fitting(g, written, width - 4, height - 2);
            if (font != null) {
                g.setColor(Contrast.textOn(color(series, cell[2].doubleValue())));
                double x = left + (cell[0].intValue() + 0.5) * width, y = top + (rows - cell[1].intValue() - 0.5) * height;
                g.drawString(written, (float) (x - font.stringWidth(written) / 2.0), (float) (y + (font.getAscent() - font.getDescent()) / 2.0));
            }
        }
    }

    /** The largest font in which {@code written} fits into a cell; null where it would be too small to read. */
    private FontMetrics fitting(Graphics2D g, String written, double width, double height) {
        for (int points = 13; points >= LEAST_POINTS; points--) {
            g.setFont(new Font(Font.SANS_SERIF, Font.PLAIN, points));
            FontMetrics metrics = g.getFontMetrics();
            if (metrics.stringWidth(written) <= width && metrics.getAscent() <= height) {
                return metrics;
            }
        }
        return null;
    }

    private Color color(HeatMapSeries series, double value) {
        double min = series.getMin(), max = series.getMax();
        return Contrast.between(map.getStyler().getRangeColors(), max > min ? (value - min) / (max - min) : 0);
    }
}
