package jqlora.model;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.quant.Absmax;
import jqlora.quant.DynamicMap;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * Weights that have shapes and no numbers, for rehearsals, which never read one. None may be converted: where a type is asked for that is not the stored
 * one, weights in 4 bits come as such.
 */
final class PlannedWeights implements WeightSource {
    private final LoadOptions options;
    private final DType dtype;
    private final boolean asStored;

    /** @param stored type of the checkpoint's weights */
    PlannedWeights(LoadOptions options, DType stored) {
        this.options = options;
        this.asStored = options.dtype() == null || options.dtype() == stored;
        this.dtype = options.dtype() == null || options.dtype() == DType.F32 && !options.trained() ? stored : options.dtype();
    }

    /** Bytes at no address. */
    @SuppressWarnings("restricted")
    private static MemorySegment nowhere(long bytes) {
        return MemorySegment.NULL.reinterpret(bytes);
    }

    @Override
    public boolean hasNumbers() {
        return false;
    }

    @Override
    public TensorView read(String name, Shape shape, Arena arena) {
        return new TensorView(dtype, shape, nowhere(dtype.byteSize(shape.size())));
    }

    @Override
    public QuantizedTensor readFourBit(String name, Shape shape) {
        if (asStored || !options.quantizes(name.substring(0, name.length() - ".weight".length()))) {
            return null;
        }
        FourBitFormat format = options.quantization();
        long elements = shape.size(), blocks = format.blocks(elements);
        Absmax absmax = format.doubleQuantization() ? new Absmax.Nested(nowhere(blocks), nowhere(4 * format.nestedBlocks(elements)), 0f, DynamicMap.signed())
                : new Absmax.Plain(nowhere(4 * blocks));
        return new QuantizedTensor(format, shape, nowhere(Math.ceilDiv(elements, 2L)), absmax);
    }
}
