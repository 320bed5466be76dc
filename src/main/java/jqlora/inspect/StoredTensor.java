package jqlora.inspect;

import java.io.IOException;
import jqlora.format.BitsAndBytesState;
import jqlora.format.NamedTensors;
import jqlora.quant.PlainFourBitCodec;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * A tensor of a file as numbers, however it is stored.
 *
 * @param view its bytes; null where it is in 4 bits
 * @param fourBit null where it is stored as numbers
 * @param shape of the numbers
 * @param text such as {@code BF16 [256, 256]} or {@code nf4 [256, 256]}
 */
record StoredTensor(TensorView view, QuantizedTensor fourBit, Shape shape, String text) {
    /** @throws IOException if there is none, or its 4 bits are not as they must be */
    static StoredTensor of(NamedTensors tensors, String name) throws IOException {
        if (BitsAndBytesState.isFourBit(tensors, name)) {
            QuantizedTensor tensor = BitsAndBytesState.read(tensors, name);
            return new StoredTensor(null, tensor, tensor.shape(), tensor.format().type().id() + " " + tensor.shape());
        }
        TensorView view = tensors.get(name);
        return new StoredTensor(view, null, view.shape(), view.toString());
    }

    boolean hasSameBytes(StoredTensor other) {
        return view != null && other.view != null && view.dtype() == other.view.dtype() && view.data().mismatch(other.view.data()) < 0;
    }

    /** @throws IllegalArgumentException for a type that is not read as numbers */
    float[] numbers() {
        if (fourBit == null) {
            return switch (view.dtype()) {
                case I64, I32, U8, BOOL -> floats(view.toInts());
                default -> view.toFloats();
            };
        }
        float[] numbers = new float[Math.toIntExact(shape.size())];
        new PlainFourBitCodec().dequantize(fourBit, 0, numbers.length, numbers, 0);
        return numbers;
    }

    private static float[] floats(int[] values) {
        float[] floats = new float[values.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = values[i];
        }
        return floats;
    }
}
