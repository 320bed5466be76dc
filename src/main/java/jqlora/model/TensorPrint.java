package jqlora.model;

import java.lang.foreign.MemorySegment;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.Absmax;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.ContentHash;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * What the bytes of a tensor are, in a few of them.
 *
 * @param name in the checkpoint, such as {@code model.norm.weight}
 * @param kept type or 4-bit format, and shape, such as {@code BF16 [64, 64]}
 * @param hash of all bytes, little-endian, by {@link ContentHash#of(MemorySegment, Workers)}
 */
public record TensorPrint(String name, String kept, long hash) {
    static TensorPrint of(String name, TensorView tensor, Workers workers) {
        return new TensorPrint(name, tensor.toString(), ContentHash.of(tensor.data(), workers));
    }

    /** Of the numbers that {@code parameter} has now; they are copied to the host. */
    static TensorPrint of(Ops ops, Parameter parameter, Workers workers) {
        return of(parameter.name(), ops.download(parameter.value()), workers);
    }

    /** Of what {@code weight} is now; in 4 bits that is its codes and all that decodes them. */
    static TensorPrint of(Ops ops, String name, Weight weight, Workers workers) {
        return switch (weight) {
            case Weight.Dense(Parameter parameter) -> of(name, ops.download(parameter.value()), workers);
            case Weight.FourBit fourBit -> of(name, ops.download(fourBit), workers);
        };
    }

    private static TensorPrint of(String name, QuantizedTensor tensor, Workers workers) {
        MemorySegment parts = switch (tensor.absmax()) {
            case Absmax.Plain(MemorySegment values) -> hashes(ContentHash.of(tensor.codes(), workers), ContentHash.of(values, workers));
            case Absmax.Nested nested -> hashes(ContentHash.of(tensor.codes(), workers), ContentHash.of(nested.codes(), workers),
                    ContentHash.of(nested.scales(), workers), Float.floatToRawIntBits(nested.offset()));
        };
        return new TensorPrint(name, tensor.format() + " as " + tensor.format().dtype() + " " + tensor.shape(), ContentHash.of(parts));
    }

    private static MemorySegment hashes(long... hashes) {
        MemorySegment bytes = MemorySegment.ofArray(new byte[hashes.length * Long.BYTES]);
        for (int i = 0; i < hashes.length; i++) {
            bytes.setAtIndex(TensorView.LONG, i, hashes[i]);
        }
        return bytes;
    }

    /** Such as {@code model.norm.weight BF16 [64] 2b1f0c9d83ae5f47}. */
    @Override
    public String toString() {
        return name + " " + kept + " " + String.format("%016x", hash);
    }
}
