package jqlora.ops;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import jqlora.quant.Absmax;
import jqlora.quant.DynamicMap;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.ByteSink;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/** Tensors on a device: made, copied there and back, moved out of the way. */
public interface Store {
    /** The type of activations and their gradients. */
    DType computeType();

    /** A tensor with undefined elements. */
    Tensor allocate(DType dtype, long... dims);

    default Tensor zeros(DType dtype, long... dims) {
        Tensor tensor = allocate(dtype, dims);
        fillZero(tensor);
        return tensor;
    }

    /** A copy of {@code host} with its dtype. */
    Tensor upload(TensorView host);

    /** A copy of {@code values}, I32. */
    Tensor upload(int[] values);

    /** A copy of a 4-bit tensor of rank 2. */
    default Weight.FourBit upload(QuantizedTensor host) {
        Weight.requireMatrix("4-bit weight", host.shape());
        Tensor codes = uploadBytes(host.codes(), DType.U8);
        return switch (host.absmax()) {
            case Absmax.Plain(var values) -> new Weight.FourBit(host.format(), host.shape(), codes, uploadBytes(values, DType.F32), null, 0f);
            case Absmax.Nested nested -> new Weight.FourBit(host.format(), host.shape(), codes, uploadBytes(nested.codes(), DType.U8),
                    uploadBytes(nested.scales(), DType.F32), nested.offset());
        };
    }

    private Tensor uploadBytes(MemorySegment bytes, DType dtype) {
        return upload(new TensorView(dtype, Shape.of(bytes.byteSize() / dtype.bytes()), bytes));
    }

    /**
     * {@code host} in 4 bits, with the codes and absmax values of {@link jqlora.quant.FourBitCodec#quantize}.
     *
     * @param host [outFeatures, inFeatures], F32, F16 or BF16
     */
    Weight.FourBit quantize(TensorView host, FourBitFormat format);

    /** A copy of {@code tensor} in host memory. */
    TensorView download(Tensor tensor);

    /** A copy of a 4-bit weight in host memory. */
    default QuantizedTensor download(Weight.FourBit weight) {
        MemorySegment codes = download(weight.codes()).data(), absmax = download(weight.absmax()).data();
        Absmax stored = weight.nestedAbsmax() == null ? new Absmax.Plain(absmax)
                : new Absmax.Nested(absmax, download(weight.nestedAbsmax()).data(), weight.offset(), DynamicMap.signed());
        return new QuantizedTensor(weight.format(), weight.shape(), codes, stored);
    }

    /** Hands the elements of {@code tensor} to {@code sink} in order, in pieces of whole elements that are valid during the call only: no copy of the whole is made. */
    void download(Tensor tensor, ByteSink sink) throws IOException;

    /** The elements as F32 [shape of the weight]: decoded, or converted. */
    Tensor toFloat(Weight weight);

    /** Overwrites {@code target} with {@code source}: same shape and dtype. */
    void copyInto(Tensor target, Tensor source);

    /** Overwrites {@code tensor} with zeros. */
    void fillZero(Tensor tensor);

    /**
     * Begins to move tensors to the host's memory, behind all that was called before. Their memory here is given back when they are there, at the next
     * call of this or of {@link #fetch} at the latest. Nothing may take them before {@code fetch} but {@link UpdateOps#adamW} and {@link UpdateOps#adamW8bit}, whose moments may
     * lie there. A backend that computes in the host's memory leaves them.
     */
    default void offload(List<Tensor> tensors) { }

    /** Begins to bring back what {@link #offload} moved, and leaves the others; what takes them waits until they are there. */
    default void fetch(List<Tensor> tensors) { }
}
