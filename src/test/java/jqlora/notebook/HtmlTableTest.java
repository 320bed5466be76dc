package jqlora.notebook;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class HtmlTableTest {
    @Test
    void everyValueIsEscaped() {
        HtmlTable table = new HtmlTable("<b>name</b>", "n").row("a<b & \"c\" 'd'", 1).caption("<script>").note("x > y");
        assertEquals("<table><caption>&lt;script&gt;</caption><thead><tr><th style=\"text-align:left\">&lt;b&gt;name&lt;/b&gt;</th><th>n</th></tr></thead>"
                + "<tbody><tr><td style=\"text-align:left\">a&lt;b &amp; &quot;c&quot; &#39;d&#39;</td><td>1</td></tr></tbody></table><p>x &gt; y</p>", table.html());
    }

    @Test
    void textIsAlignedAlsoWhereCharactersAreWide() {
        HtmlTable table = new HtmlTable("module", "error").row("q_proj", 0.125).row("量子", 12.0).row("two\nlines", null).note("more");
        assertEquals("""
                module     error
                ---------  -----
                q_proj     0.125
                量子          12
                two lines
                more""", table.text());
    }

    @Test
    void aNumberWithItsUnitStandsToTheRight() {
        assertEquals("size\n------\n3.2 GB\n 12 MB", new HtmlTable("size").row(new HtmlTable.RightAligned("3.2 GB")).row(new HtmlTable.RightAligned("12 MB"))
                .text().replace("  size", "size"));
    }

    @Test
    void aRowOfAnotherLengthIsRefused() {
        IllegalArgumentException refused = assertThrows(IllegalArgumentException.class, () -> new HtmlTable("a", "b").row(1));
        assertEquals("HtmlTable: a row of 1 values, the header has 2 columns", refused.getMessage());
    }

    @Test
    void numbersAreAsShortAsAReaderNeedsThem() {
        assertEquals("0.333333", ShortNumber.of(1 / 3.0));
        assertEquals("12", ShortNumber.of(12.0));
        assertEquals("1234570", ShortNumber.of(1234570.0));
        assertEquals("1.5E-7", ShortNumber.of(1.5e-7));
        assertEquals("0", ShortNumber.of(0));
        assertEquals("", ShortNumber.of(Double.NaN));
        assertEquals("-inf", ShortNumber.of(Double.NEGATIVE_INFINITY));
        assertEquals("8.1 s", ShortNumber.seconds(8.12));
        assertEquals("2:05", ShortNumber.seconds(125));
        assertEquals("1:02:03", ShortNumber.seconds(3723));
    }
}
