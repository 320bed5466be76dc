package jqlora.inspect;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.util.HashSet;
import java.util.Set;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.internal.chartpart.Chart;

/** Draws charts, which fails where XChart cannot. */
final class Pictures {
    private Pictures() { }

    /** Draws {@code chart} and fails unless it is a picture of its size, in the house style, with something on it. */
    static void assertDrawn(Chart<?, ?> chart, String title, String xTitle, String yTitle) {
        assertEquals(title + " | " + xTitle + " | " + yTitle, chart.getTitle() + " | " + chart.getXAxisTitle() + " | " + chart.getYAxisTitle());
        BufferedImage image = BitmapEncoder.getBufferedImage(chart);
        assertEquals(chart.getWidth() + "x" + chart.getHeight(), image.getWidth() + "x" + image.getHeight());
        assertEquals(0xffffffff, image.getRGB(0, 0) | 0xff000000, "white margin");
        Set<Integer> colours = new HashSet<>();
        for (int y = 0; y < image.getHeight(); y++) {
            for (int x = 0; x < image.getWidth(); x++) {
                colours.add(image.getRGB(x, y));
            }
        }
        assertTrue(colours.size() > 10, "colours: " + colours.size());
    }
}
