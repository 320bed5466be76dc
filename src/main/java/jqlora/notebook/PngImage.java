package jqlora.notebook;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Base64;
import javax.imageio.ImageIO;
import jqlora.inspect.ChartPage;
import org.knowm.xchart.internal.chartpart.Chart;

/**
 * A picture for a notebook.
 *
 * @param base64 the PNG file
 * @param width  in points of the page; the file has twice as many pixels where it was drawn for sharp screens
 * @param height in points of the page
 */
public record PngImage(String base64, int width, int height) {
    private static final int PIXELS_PER_POINT = 2;

    /** The chart at its own size, two pixels to the point, without a background, so that it stands on light pages and on dark ones. */
    public static PngImage of(Chart<?, ?> chart) {
        return new PngImage(Screen.current().undisturbed(() -> encode(FewColours.of(ChartPage.paint(chart, PIXELS_PER_POINT)))), chart.getWidth(), chart.getHeight());
    }

    /** The image, one pixel to the point. */
    public static PngImage of(BufferedImage image) {
        return new PngImage(Screen.current().undisturbed(() -> encode(image)), image.getWidth(), image.getHeight());
    }

    /** The picture within HTML; {@code text} stands for it where it cannot be seen. */
    String html(String text) {
        return "<img src=\"data:image/png;base64," + base64 + "\" width=\"" + width + "\" height=\"" + height + "\" alt=\"" + Html.escape(text) + "\">";
    }

    private static String encode(BufferedImage image) {
        ByteArrayOutputStream file = new ByteArrayOutputStream();
        try {
            ImageIO.write(image, "png", file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return Base64.getEncoder().encodeToString(file.toByteArray());
    }
}
