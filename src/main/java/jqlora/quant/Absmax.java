package jqlora.quant;

import java.lang.foreign.MemorySegment;
import jqlora.tensor.TensorView;

/** The largest magnitude of each block of a 4-bit tensor, as stored. */
public sealed interface Absmax {
    /** The absmax of block {@code index}, as the kernels restore it. */
    float get(long index);

    /** The absmax of blocks {@code first} ... {@code first + count - 1}, into {@code out} from its start. */
    void get(long first, int count, float[] out);

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
        public void get(long first, int count, float[] out) {
            MemorySegment.copy(values, TensorView.FLOAT, first * 4, out, 0, count);
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
        public void get(long first, int count, float[] out) {
            int done = 0;
            while (done < count) {
                long index = first + done, nested = index / FourBitFormat.NESTED_BLOCK_SIZE;
                int run = (int) Math.min(count - done, (nested + 1) * FourBitFormat.NESTED_BLOCK_SIZE - index);
                float scale = scales.get(TensorView.FLOAT, nested * 4);
                for (int i = 0; i < run; i++) {
                    out[done + i] = map.value(codes.get(TensorView.BYTE, index + i) & 0xff) * scale + offset;
                }
                done += run;
            }
        }

        @Override
        public long byteSize() {
            return codes.byteSize() + scales.byteSize();
        }
    }
}
