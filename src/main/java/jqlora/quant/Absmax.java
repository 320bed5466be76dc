package jqlora.quant;

import java.lang.foreign.MemorySegment;
import jqlora.tensor.TensorView;

/** The largest magnitude of each block of a 4-bit tensor, as stored. */
public sealed interface Absmax {
    /** The absmax of block {@code index}, as the kernels restore it. */
    float get(long index);

    /** Bytes that this takes. */
    long byteSize();

    /** One float32 a block.
     * @param values F32 [blocks] */
    record Plain(MemorySegment values) implements Absmax {
        @Override
        public float get(long index) {
            return values.get(TensorView.FLOAT, index * 4);
        }

        @Override
        public long byteSize() {
            return values.byteSize();
        }
    }

    /**
     * One byte a block: {@code map[codes[i]] * scales[i / 256] + offset}, the product rounded before the sum.
     *
     * @param codes U8 [blocks]
     * @param scales F32 [blocks / 256, rounded up], the absmax of the second level
     * @param offset the mean absmax, taken off before the second quantization
     * @param map the 256 values of the 8-bit code
     */
    record Nested(MemorySegment codes, MemorySegment scales, float offset, DynamicMap map) implements Absmax {
        @Override
        public float get(long index) {
            float product = map.value(codes.get(TensorView.BYTE, index) & 0xff)
                    * scales.get(TensorView.FLOAT, index / FourBitFormat.NESTED_BLOCK_SIZE * 4);
            return product + offset;
        }

        @Override
        public long byteSize() {
            return codes.byteSize() + scales.byteSize();
        }
    }
}
