package jqlora.inspect;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class NumberTextTest {
    private static List<String> column(double... numbers) {
        NumberText text = NumberText.ofColumn(numbers);
        return Arrays.stream(numbers).mapToObj(text::of).toList();
    }

    private static List<String> ticks(double... numbers) {
        NumberText text = NumberText.ofTicks(numbers);
        return Arrays.stream(numbers).mapToObj(text::of).toList();
    }

    @Test
    void aColumnHasOneNumberOfDecimals() {
        assertEquals(List.of("4.533", "4.165", "12.000"), column(4.5331, 4.16512, 12));
        assertEquals(List.of("44.04", "7.63", "34.77"), column(44.0412, 7.63367, 34.767));
        assertEquals(List.of("0.003902", "0.000488", "0.001953"), column(0.00390236, 0.00048800744116306305, 0.001953));
    }

    @Test
    void zerosThatAllHaveAreLeftOut() {
        assertEquals(List.of("0.50", "0.25", "12.00"), column(0.5, 0.25, 12));
        assertEquals(List.of("1", "20", "-3"), column(1, 20, -3));
        assertEquals(List.of("0.1", "0.2"), column(0.1f, 0.2f));
    }

    @Test
    void thousandsAreGroupedWhereANumberHasFiveDigits() {
        assertEquals(List.of("1,572,864", "12", "1,234"), column(1572864, 12, 1234));
        assertEquals(List.of("2024", "7"), column(2024, 7));
        assertEquals(List.of("-12,346", "9,999"), column(-12345.67, 9999.21));
    }

    @Test
    void smallAndFarApartNumbersHaveAnExponentOfOneWidth() {
        assertEquals(List.of("3.00e-05", "2.51e-04", "-1.00e-10"), column(3e-5, 2.51e-4, -1e-10));
        assertEquals(List.of("1e-100", "2e-005", "0e+000"), column(1e-100, 2e-5, 0));
        assertEquals(List.of("1e-07", "1e+07"), column(1e-7, 1e7));
    }

    @Test
    void aNumberThatIsNotZeroIsNotShownAsZero() {
        assertEquals(List.of("5.000", "0.002", "4.000"), column(5, 0.002, 4));
        assertEquals(List.of("5.2500", "0.0002", "4.0000"), column(5.25, 0.0002, 4));
    }

    @Test
    void whatIsNoNumberIsEmptyAndInfinityIsNamed() {
        assertEquals(List.of("", "1.5", "inf", "-inf"), column(Double.NaN, 1.5, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY));
        assertEquals(List.of(""), column(Double.NaN));
        assertEquals(List.of("0"), column(-0.0));
    }

    @Test
    void sharesHaveAtMostThreeDecimals() {
        NumberText text = NumberText.ofShares(100.316, 5.2, 0);
        assertEquals("100.3 5.2 0.0", text.of(100.316) + " " + text.of(5.2) + " " + text.of(0));
        assertEquals("0.012", NumberText.ofShares(0.0123).of(0.0123));
        assertEquals("50", NumberText.ofShares(50, 100).of(50));
    }

    @Test
    void ticksHaveAsManyDecimalsAsTellThemApart() {
        assertEquals(List.of("0.00", "0.02", "0.10"), ticks(0, 0.02, 0.1));
        assertEquals(List.of("4.0", "4.2"), ticks(4, 4.2));
        assertEquals(List.of("-0.2", "0.0", "0.2"), ticks(-0.2, 0, 0.2));
        assertEquals(List.of("0", "20,000"), ticks(0, 20_000));
        assertEquals(List.of("0e+00", "5e-05"), ticks(0, 5e-5));
    }

    @Test
    void aNumberByItselfHasNoZerosAtItsEnd() {
        assertEquals("0.333333 12 1,234,570 1.5e-07 0", NumberText.alone(1 / 3.0, 6) + " " + NumberText.alone(12, 6) + " " + NumberText.alone(1234570, 6) + " "
                + NumberText.alone(1.5e-7, 6) + " " + NumberText.alone(0, 6));
    }
}
