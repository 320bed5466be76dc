package jqlora.notebook;

import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Base64;
import javax.imageio.ImageIO;
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

    /** The chart at its own size, two pixels to the point. */
    public static PngImage of(Chart<?, ?> chart) {
        int width = chart.getWidth();
        int height = chart.getHeight();
        BufferedImage image = new BufferedImage(width * PIXELS_PER_POINT, height * PIXELS_PER_POINT, BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = image.createGraphics();
        graphics.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        graphics.scale(PIXELS_PER_POINT, PIXELS_PER_POINT);
        chart.paint(graphics, width, height);
        graphics.dispose();
        return new PngImage(encode(image), width, height);
    }

    /** The image, one pixel to the point. */
    public static PngImage of(BufferedImage image) {
        return new PngImage(encode(image), image.getWidth(), image.getHeight());
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
