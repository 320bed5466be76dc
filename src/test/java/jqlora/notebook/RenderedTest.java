package jqlora.notebook;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.Base64;
import java.util.Optional;
import java.util.ServiceLoader;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import jqlora.inspect.ChartStyle;
import org.dflib.jjava.jupyter.Extension;
import org.junit.jupiter.api.Test;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.api.IntColumn;
import tech.tablesaw.api.StringColumn;
import tech.tablesaw.api.Table;
import tech.tablesaw.columns.numbers.NumberColumnFormatter;

class RenderedTest {
    private static Table table(int rows, int columns) {
        Table table = Table.create("big");
        for (int column = 0; column < columns; column++) {
            table.addColumns(IntColumn.create("c" + column, IntStream.range(0, rows).toArray()));
        }
        return table;
    }

    @Test
    void aTableShowsTwentyRowsAndTwelveColumnsAndSaysWhatIsMissing() {
        Rendered shown = Rendered.of(table(23, 14));
        assertTrue(shown.text().endsWith("\n... 3 more rows, 2 more columns"), shown.text());
        String html = shown.html().orElseThrow();
        assertEquals(20, html.split("<tr><td").length - 1);
        assertTrue(html.contains(">c11</th>") && !html.contains("c12"), html);
        assertTrue(Rendered.of(table(23, 2), 100).text().contains("\n22  22"));
        assertTrue(Rendered.of(table(21, 1)).text().endsWith("... 1 more row"));
    }

    @Test
    void missingValuesAreEmptyAndPrintFormatsAreKept() {
        DoubleColumn share = DoubleColumn.create("share", 0.5, Double.NaN);
        share.setPrintFormatter(NumberColumnFormatter.percent(1));
        Table table = Table.create("t", StringColumn.create("name", "a<b", ""), share, DoubleColumn.create("x", 1 / 3.0, 2));
        assertEquals("""
                t
                name  share       x
                ----  -----  ------
                a<b   50.0%  0.3333
                             2.0000""", Rendered.of(table).text());
        assertTrue(Rendered.of(table).html().orElseThrow().contains("a&lt;b"));
        assertTrue(Rendered.of(share).text().startsWith("share"));
    }

    @Test
    void aChartIsAPictureOfTwoPixelsToThePoint() throws IOException {
        XYChart chart = new XYChartBuilder().width(300).height(200).title("Loss").build();
        ChartStyle.apply(chart.getStyler());
        chart.addSeries("train", new double[] {1, 2, 3}, new double[] {3, 2, 1});
        Rendered shown = Rendered.of(chart);
        PngImage png = shown.png().orElseThrow();
        BufferedImage image = ImageIO.read(new ByteArrayInputStream(Base64.getDecoder().decode(png.base64())));
        assertEquals("600x400 shown as 300x200", image.getWidth() + "x" + image.getHeight() + " shown as " + png.width() + "x" + png.height());
        assertEquals(0, image.getRGB(0, 0) >>> 24, "no background");
        assertEquals("XYChart 'Loss' 300x200", shown.text());
    }

    @Test
    void ourOwnTypesShowThemselves() {
        Displayable own = new HtmlTable("a").row("<1>");
        assertEquals(own.html(), Rendered.of(own).html().orElseThrow());
        Displayable picture = new Displayable() {
            @Override
            public String text() {
                return "a picture";
            }

            @Override
            public String html() {
                return "unused";
            }

            @Override
            public Optional<PngImage> png() {
                return Optional.of(PngImage.of(new BufferedImage(4, 3, BufferedImage.TYPE_INT_RGB)));
            }
        };
        assertEquals(4, Rendered.of(picture).png().orElseThrow().width());
        assertTrue(Rendered.of(picture).html().isEmpty());
    }

    @Test
    void anythingElseIsText() {
        assertEquals("null", Rendered.of(null).text());
        assertEquals("a<b>", Rendered.of("a<b>").text());
        assertTrue(Rendered.of("a<b>").html().isEmpty());
        assertEquals("int[3] {1, 2, 3}", Rendered.of(new int[] {1, 2, 3}).text());
        assertEquals("float[][2] {float[1] {1.0}, null}", Rendered.of(new float[][] {{1}, null}).text());
        assertTrue(Rendered.of(new long[1000]).text().endsWith(", ... 900 more}"));
        assertTrue(Rendered.of("x".repeat(200_005)).text().endsWith("\n... 5 more characters"));
    }

    @Test
    void anArrayShowsShapeRangeAndFirstValues() {
        try (NDManager manager = NDManager.newBaseManager()) {
            NDArray array = manager.create(new float[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 0}).reshape(2, 5);
            assertEquals("NDArray (2, 5) float32 on cpu()\nmin 0, mean 4.5, max 9\n[[1  2  3  4  5]\n [6  7  8  9  0]]", Rendered.of(array).text());
            assertTrue(Rendered.of(array).html().orElseThrow().contains("overflow-x:auto\">NDArray (2, 5) float32"));
            array.close();
            assertEquals("NDArray, closed", Rendered.of(array).text());
        }
    }

    @Test
    void aTableOfNoRowsIsRefused() {
        assertEquals("TableView: maxRows is 0, it must be at least 1",
                assertThrows(IllegalArgumentException.class, () -> Rendered.of(table(1, 1), 0)).getMessage());
    }

    @Test
    void aStockKernelFindsTheExtension() {
        assertFalse(ServiceLoader.load(Extension.class).stream().filter(found -> found.type() == NotebookExtension.class).toList().isEmpty());
    }
}
