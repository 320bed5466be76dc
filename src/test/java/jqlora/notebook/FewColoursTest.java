package jqlora.notebook;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import javax.imageio.ImageIO;
import jqlora.inspect.ChartPage;
import jqlora.inspect.LayerChart;
import org.junit.jupiter.api.Test;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;

class FewColoursTest {
    private static int[] pixels(BufferedImage image) {
        return image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth());
    }

    /** {@code count} colours, the i-th in i + 1 pixels. */
    private static BufferedImage colours(int count) {
        int total = count * (count + 1) / 2, width = 1_000;
        BufferedImage image = new BufferedImage(width, total / width + 1, BufferedImage.TYPE_INT_ARGB);
        int at = 0;
        for (int i = 0; i < count; i++) {
            for (int j = 0; j <= i; j++, at++) {
                image.setRGB(at % width, at / width, 0xff000000 | i * 0x000701);
            }
        }
        return image;
    }

    @Test
    void coloursThatFitIntoATableStayAsTheyAre() {
        BufferedImage image = colours(255);                       // and the transparent rest
        BufferedImage few = FewColours.of(image);
        assertEquals(BufferedImage.TYPE_BYTE_INDEXED, few.getType());
        assertArrayEquals(pixels(image), pixels(few));
    }

    @Test
    void rareColoursTakeTheNearestFrequentOne() {
        BufferedImage image = colours(300), few = FewColours.of(image);
        int[] before = pixels(image), after = pixels(few);
        for (int i = 0; i < before.length; i++) {
            boolean rare = (before[i] & 0xff000000) != 0 && (before[i] & 0xffffff) / 0x000701 < 45;
            assertTrue(rare || before[i] == after[i], i + ": " + Integer.toHexString(before[i]) + " became " + Integer.toHexString(after[i]));
        }
        // the rarest, black in one pixel: the nearest that is left is the 46th or so
        assertTrue((after[0] >>> 24) == 0xff && (after[0] & 0xff00) >> 8 < 50 * 7, Integer.toHexString(after[0]));
    }

    @Test
    void aPhotographStaysAsItIs() {
        BufferedImage image = new BufferedImage(200, 100, BufferedImage.TYPE_INT_ARGB);
        for (int i = 0; i < 20_000; i++) {
            image.setRGB(i % 200, i / 200, 0xff000000 | i * 37);
        }
        assertSame(image, FewColours.of(image));
    }

    @Test
    void chartsTakeMuchLessAndLookTheSame() throws IOException {
        XYChart lines = new XYChartBuilder().width(640).height(340).title("Lines").xAxisTitle("x").yAxisTitle("y").build();
        for (int i = 0; i < 6; i++) {
            double[] y = new double[50];
            for (int j = 0; j < 50; j++) {
                y[j] = Math.sin(j / 5.0 + i);
            }
            lines.addSeries("line " + i, y);
        }
        var numbers = new LinkedHashMap<String, Double>();
        for (int layer = 0; layer < 8; layer++) {
            for (String kind : List.of("q_proj", "k_proj", "v_proj")) {
                numbers.put("model.layers." + layer + ".self_attn." + kind, layer + kind.charAt(0) / 7.0);
            }
        }
        for (var chart : List.of(lines, LayerChart.map("Map", numbers, value -> String.format("%.1f", value)))) {
            BufferedImage exact = ChartPage.paint(chart, 2);
            byte[] file = Base64.getDecoder().decode(PngImage.of(chart).base64());
            var whole = new ByteArrayOutputStream();
            ImageIO.write(exact, "png", whole);
            assertTrue(file.length < 0.65 * whole.size(), file.length + " bytes instead of " + whole.size());
            int[] before = pixels(exact), after = pixels(ImageIO.read(new ByteArrayInputStream(file)));
            int off = 0;
            for (int i = 0; i < before.length; i++) {
                int worst = 0;
                for (int page : new int[] {0, 255}) {             // on a black page and on a white one
                    for (int shift = 0; shift < 24; shift += 8) {
                        worst = Math.max(worst, Math.abs(seen(before[i], shift, page) - seen(after[i], shift, page)));
                    }
                }
                off += worst > 16 ? 1 : 0;                        // where six lines cross, the colours of their edges are many and rare
            }
            assertTrue(off < before.length / 1_000, chart.getTitle() + ": " + off + " of " + before.length + " pixels are off by more than 16 of 255");
        }
    }

    private static int seen(int colour, int shift, int page) {
        int alpha = colour >>> 24;
        return ((colour >>> shift & 0xff) * alpha + page * (255 - alpha)) / 255;
    }
}
