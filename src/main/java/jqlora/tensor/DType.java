package jqlora.tensor;

import java.util.Arrays;
import java.util.stream.Collectors;

/**
 * Element types, under their safetensors names.
 *
 * @see <a href="https://github.com/huggingface/safetensors/blob/main/safetensors/src/tensor.rs">safetensors, enum Dtype</a>
 */
public enum DType {
    BOOL(8), F4(4), F6_E2M3(6), F6_E3M2(6), U8(8), I8(8), F8_E5M2(8), F8_E4M3(8), F8_E8M0(8), F8_E4M3FNUZ(8), F8_E5M2FNUZ(8),
    I16(16), U16(16), F16(16), BF16(16), I32(32), U32(32), F32(32), C64(64), F64(64), I64(64), U64(64);

    private final int bits;

    DType(int bits) {
        this.bits = bits;
    }

    /** Bits of one element; below 8 for the packed types F4 and F6. */
    public int bits() {
        return bits;
    }

    /**
     * Bytes of one element.
     *
     * @throws IllegalArgumentException if an element is not a whole number of bytes
     */
    public int bytes() {
        if (bits % 8 != 0) {
            throw new IllegalArgumentException(this + ": one element has " + bits + " bits, not a whole number of bytes");
        }
        return bits / 8;
    }

    /**
     * Bytes of {@code elements} elements.
     *
     * @throws ArithmeticException if the product exceeds 2^63 - 1
     * @throws IllegalArgumentException if the bits do not fill whole bytes
     */
    public long byteSize(long elements) {
        long total = Math.multiplyExact(elements, (long) bits);
        if (total % 8 != 0) {
            throw new IllegalArgumentException(this + ": " + elements + " elements have " + total + " bits, not a whole number of bytes");
        }
        return total / 8;
    }

    /** Whether this is one of F32, F16 and BF16, the types that a weight of a language model is stored in. */
    public boolean isWeightType() {
        return this == F32 || this == F16 || this == BF16;
    }

    /** PyTorch's name, such as {@code bfloat16}, as it stands in {@code config.json} and in bitsandbytes' quant state. */
    public String torchName() {
        return switch (this) {
            case F32 -> "float32";
            case F16 -> "float16";
            case BF16 -> "bfloat16";
            case F64 -> "float64";
            case U8 -> "uint8";
            case I8 -> "int8";
            case I16 -> "int16";
            case I32 -> "int32";
            case I64 -> "int64";
            case BOOL -> "bool";
            default -> throw new IllegalArgumentException(this + " has no PyTorch name here; known are the float, int and bool types");
        };
    }

    /**
     * The type with PyTorch's name {@code name}; a leading {@code torch.} is allowed.
     *
     * @throws IllegalArgumentException if the name is not one of float32, float16, bfloat16, float64, uint8, int8 ... int64, bool
     */
    public static DType ofTorchName(String name) {
        String plain = name.startsWith("torch.") ? name.substring(6) : name;
        return switch (plain) {
            case "float32", "float" -> F32;
            case "float16", "half" -> F16;
            case "bfloat16" -> BF16;
            case "float64", "double" -> F64;
            case "uint8" -> U8;
            case "int8" -> I8;
            case "int16" -> I16;
            case "int32" -> I32;
            case "int64" -> I64;
            case "bool" -> BOOL;
            default -> throw new IllegalArgumentException(
                    "dtype \"" + name + "\" is not known; it must be one of float32, float16, bfloat16, float64, uint8, int8, int16, int32, int64, bool");
        };
    }

    /**
     * The type with the safetensors name {@code name}, upper case as in the file.
     *
     * @throws IllegalArgumentException if there is none
     */
    public static DType ofSafetensorsName(String name) {
        for (DType type : values()) {
            if (type.name().equals(name)) {
                return type;
            }
        }
        throw new IllegalArgumentException("dtype \"" + name + "\" is not known; it must be one of "
                + Arrays.stream(values()).map(Enum::name).collect(Collectors.joining(", ")));
    }
}
