package jqlora.ops.cpu;

import static jqlora.tensor.TensorView.BYTE;
import static jqlora.tensor.TensorView.FLOAT;

import java.lang.foreign.MemorySegment;
import jqlora.ops.AdamW8bitNumbers;
import jqlora.ops.AdamW8bitState;
import jqlora.ops.EightBitMoment;
import jqlora.quant.DynamicMap;

/** Blocks of a parameter under bitsandbytes' 8-bit AdamW. */
record CpuAdamW8bit(AdamW8bitNumbers numbers, float clip) {
    private static final DynamicMap SIGNED = DynamicMap.signed(), UNSIGNED = DynamicMap.unsigned();

    /** Blocks {@code from} ... {@code to - 1}. */
    void update(AdamW8bitState state, long from, long to) {
        MemorySegment value = CpuTensor.memory(state.parameter().value()), gradient = CpuTensor.memory(state.parameter().gradient());
        MemorySegment firstCodes = CpuTensor.memory(state.firstMoment().codes()), firstAbsmax = CpuTensor.memory(state.firstMoment().absmax());
        MemorySegment secondCodes = CpuTensor.memory(state.secondMoment().codes()), secondAbsmax = CpuTensor.memory(state.secondMoment().absmax());
        long elements = state.parameter().value().shape().size();
        float[] first = new float[EightBitMoment.BLOCK_SIZE], second = new float[EightBitMoment.BLOCK_SIZE];
        for (long block = from; block < to; block++) {
            long start = block * EightBitMoment.BLOCK_SIZE;
            int count = (int) Math.min(EightBitMoment.BLOCK_SIZE, elements - start);
            float firstScale = firstAbsmax.get(FLOAT, 4 * block), secondScale = secondAbsmax.get(FLOAT, 4 * block), firstLargest = 0, secondLargest = 0;
            for (int i = 0; i < count; i++) {
                float g = gradient.get(FLOAT, 4 * (start + i));
                boolean finite = Float.isFinite(g);
                g *= clip;
                float m = SIGNED.value(firstCodes.get(BYTE, start + i) & 0xff) * firstScale, v = UNSIGNED.value(secondCodes.get(BYTE, start + i) & 0xff) * secondScale;
                first[i] = finite ? m * numbers.beta1() + numbers.oneMinusBeta1() * g : 0;
                second[i] = finite ? v * numbers.beta2() + numbers.oneMinusBeta2() * g * g : 0;
                if (finite) {
                    float update = first[i] / ((float) Math.sqrt(second[i]) + numbers.scaledEps());
                    value.set(FLOAT, 4 * (start + i), (value.get(FLOAT, 4 * (start + i)) + numbers.stepSize() * update) * numbers.decay());
                }
                firstLargest = larger(firstLargest, first[i]);
                secondLargest = larger(secondLargest, second[i]);
            }
            firstAbsmax.set(FLOAT, 4 * block, firstLargest);
            secondAbsmax.set(FLOAT, 4 * block, secondLargest);
            for (int i = 0; i < count; i++) {
                firstCodes.set(BYTE, start + i, (byte) signed(first[i], first[i] / firstLargest));
                secondCodes.set(BYTE, start + i, (byte) UNSIGNED.encode(second[i] / secondLargest));
            }
        }
    }

    private static float larger(float largest, float x) {
        float magnitude = Math.abs(x);
        return magnitude > largest ? magnitude : largest;
    }

    /** The nearest code, or its neighbour where only that has the moment's sign. */
    private static int signed(float moment, float scaled) {
        int code = SIGNED.encode(scaled);
        boolean sameSign = Float.floatToRawIntBits(SIGNED.value(code)) < 0 == Float.floatToRawIntBits(moment) < 0;
        return sameSign ? code : moment > 0 ? code + 1 : code - 1;
    }
}
