package jqlora.tensor;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class DTypeTest {
    @ParameterizedTest
    @EnumSource
    void theSafetensorsNameNamesTheType(DType type) {
        assertSame(type, DType.ofSafetensorsName(type.name()));
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "F16", "BF16", "F64", "U8", "I8", "I16", "I32", "I64", "BOOL"})
    void theTorchNameNamesTheType(DType type) {
        assertSame(type, DType.ofTorchName(type.torchName()));
        assertSame(type, DType.ofTorchName("torch." + type.torchName()));
    }

    @ParameterizedTest
    @CsvSource({"float,F32", "half,F16", "double,F64"})
    void torchHasSecondNames(String name, DType type) {
        assertSame(type, DType.ofTorchName(name));
    }

    @Test
    void sizesAreThoseOfTheNames() {
        for (DType type : DType.values()) {
            if (type != DType.BOOL) {
                assertTrue(type.name().matches("(BF|[CFIU])" + type.bits() + "(_.*)?"), type + " has " + type.bits() + " bits");
            }
        }
        assertEquals(8, DType.BOOL.bits());
        assertEquals(2, DType.BF16.bytes());
        assertEquals(6, DType.BF16.byteSize(3));
        assertEquals(3, DType.F6_E2M3.byteSize(4));
        assertEquals(1, DType.F4.byteSize(2));
        assertEquals(1L << 42, DType.F32.byteSize(1L << 40));
    }

    @Test
    void partsOfBytesAreRefused() {
        assertFails(IllegalArgumentException.class, () -> DType.F4.bytes(), "F4", "4 bits");
        assertFails(IllegalArgumentException.class, () -> DType.F4.byteSize(3), "F4", "3 elements", "12 bits");
        assertFails(ArithmeticException.class, () -> DType.F32.byteSize(Long.MAX_VALUE / 8));
    }

    @Test
    void weightTypesAreThree() {
        Set<DType> weights = EnumSet.noneOf(DType.class);
        Arrays.stream(DType.values()).filter(DType::isWeightType).forEach(weights::add);
        assertEquals(EnumSet.of(DType.F32, DType.F16, DType.BF16), weights);
    }

    @Test
    void unknownNamesAreRefused() {
        assertFails(IllegalArgumentException.class, () -> DType.ofTorchName("float8"), "\"float8\"", "bfloat16", "int64");
        assertFails(IllegalArgumentException.class, () -> DType.ofSafetensorsName("f32"), "\"f32\"", "F32", "BOOL");
        assertFails(IllegalArgumentException.class, () -> DType.F4.torchName(), "F4 has no PyTorch name");
    }
}
