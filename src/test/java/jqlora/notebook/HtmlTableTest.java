package jqlora.notebook;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class HtmlTableTest {
    private static final String LEFT = " align=\"left\" style=\"text-align:left\"", RIGHT = " align=\"right\" style=\"text-align:right;white-space:nowrap\"";

    @Test
    void everyValueIsEscaped() {
        HtmlTable table = new HtmlTable("<b>name</b>", "n").row("a<b & \"c\" 'd'", 1).caption("<script>").note("x > y");
        assertEquals("<div style=\"overflow-x:auto\"><table><caption>&lt;script&gt;</caption><thead><tr><th" + LEFT + ">&lt;b&gt;name&lt;/b&gt;</th><th" + RIGHT + ">n</th></tr></thead>"
                + "<tbody><tr><td" + LEFT + ">a&lt;b &amp; &quot;c&quot; &#39;d&#39;</td><td" + RIGHT + ">1</td></tr></tbody></table></div><p>x &gt; y</p>", table.html());
    }

    @Test
    void textIsAlignedAlsoWhereCharactersAreWide() {
        HtmlTable table = new HtmlTable("module", "error").row("q_proj", 0.125).row("量子", 12.0).row("two\nlines", null).note("more");
        assertEquals("""
                module      error
                ---------  ------
                q_proj      0.125
                量子       12.000
                two lines
                more""", table.text());
    }

    @Test
    void aTableOfOnesOwnIsOneLine() {
        HtmlTable table = Tables.of("held-out loss", "weights", "loss", "gain kept", "parameters").percent("gain kept")
                .row("base", 5.7512345, 0, 1572864).row("base + adapter", 4.5, 1.00316, 12).row("missing", null, 0.05, null);
        assertEquals("""
                held-out loss
                weights          loss  gain kept  parameters
                --------------  -----  ---------  ----------
                base            5.751       0.0%   1,572,864
                base + adapter  4.500     100.3%          12
                missing                     5.0%""", table.text());
        assertEquals("    x\n-----\n 1.50\n10.00", new HtmlTable("x").decimals(2, "x").row(1.5).row(10).text());
    }

    @Test
    void theNumbersOfAColumnStandAtThePointInHtmlToo() {
        String html = Tables.of("", "x").row(0.5).row(12.25).html();
        assertTrue(html.contains(">0.50</td>") && html.contains(">12.25</td>"), html);
    }

    @Test
    void aNumberWithItsUnitStandsToTheRight() {
        assertEquals("  size\n------\n3.2 GB\n 12 MB", new HtmlTable("size").row(new HtmlTable.RightAligned("3.2 GB")).row(new HtmlTable.RightAligned("12 MB")).text());
    }

    @Test
    void aColumnOfAllSortsIsLeftAndEachNumberByItself() {
        assertEquals("value\n------\n8\n0.0002\nnf4", new HtmlTable("value").row(8).row(0.0002).row("nf4").text());
    }

    @Test
    void whatStandsOutSaysAgainstWhat() {
        HtmlTable table = new HtmlTable("r").row(new HtmlTable.Marked("16", "default 64"));
        assertEquals("r\n---------------\n16 (default 64)", table.text());
        assertTrue(table.html().contains("<b>16</b> <small>(default 64)</small>"), table.html());
    }

    @Test
    void longNamesMayBreakAndLongerOnesAreCutWithTheWholeInTheTitle() {
        String html = new HtmlTable("module").row("model.layers.0.self_attn.q_proj").row("<" + "x".repeat(400)).html();
        assertTrue(html.contains("model.<wbr>layers.<wbr>0.<wbr>self_<wbr>attn.<wbr>q_<wbr>proj</td>"), html);
        assertTrue(html.contains(" title=\"&lt;" + "x".repeat(400) + "\">"), html);
        assertTrue(html.replace("<wbr>", "").contains("x".repeat(299) + "\u2026</td>") && !html.replaceAll("title=\"[^\"]*\"", "").contains("x".repeat(41)), html);
        List<String> lines = new HtmlTable("text").row("word ".repeat(40).strip()).text().lines().toList();
        assertTrue(lines.size() > 4 && lines.stream().allMatch(line -> line.length() <= 60), lines::toString);
    }

    @Test
    void whatDoesNotFitIsRefused() {
        assertFails(IllegalArgumentException.class, () -> new HtmlTable("a", "b").row(1), "table: a row of 1 values, but 2 columns: a, b");
        assertFails(IllegalArgumentException.class, () -> new HtmlTable("a", "a"), "table: the columns are [a, a], there must be at least one, and no two with the same name");
        assertFails(IllegalArgumentException.class, () -> new HtmlTable("a").percent("b"), "table: there is no column \"b\"; there are a");
        assertFails(IllegalArgumentException.class, () -> new HtmlTable("a").decimals(-1, "a"), "table: decimals is -1, it must be between 0 and 15");
    }

    @Test
    void bytesAndDurationsAreAsShortAsAReaderNeedsThem() {
        assertEquals("8.1 s", ShortNumber.seconds(8.12));
        assertEquals("2:05", ShortNumber.seconds(125));
        assertEquals("1:02:03", ShortNumber.seconds(3723));
        assertEquals("12 B, 1.5 kB, 2.3 MB, 134 MB, 8.31 GB, 80.0 GB", ShortNumber.bytes(12) + ", " + ShortNumber.bytes(1_500) + ", " + ShortNumber.bytes(2_300_000) + ", "
                + ShortNumber.bytes(134_000_000) + ", " + ShortNumber.bytes(8_310_000_000L) + ", " + ShortNumber.bytes(80_000_000_000L));
    }
}
