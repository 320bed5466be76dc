package jqlora.model;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.LongStream;
import jqlora.model.families.Families;
import jqlora.format.HfConfig;
import jqlora.ops.Ops;
import jqlora.ops.Weight;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * Models of any shape whose weights are random: about normal, the same numbers in all tensors of one shape, so that they are made quickly. What is
 * quantized is quantized once for each shape, and copied on the device.
 */
public final class RandomModel implements WeightSource {
    private static final int CHUNK = 1 << 20;
    private final Map<Shape, TensorView> made = new HashMap<>();

    private RandomModel() { }

    /** A model of {@code config}, bfloat16 numbers stored as {@code options} say. */
    public static CausalLm create(HfConfig config, LoadOptions options, Ops ops) throws IOException {
        Map<Shape, Weight.FourBit> quantized = new HashMap<>();
        Ops copying = (Ops) Proxy.newProxyInstance(Ops.class.getClassLoader(), new Class<?>[] {Ops.class}, (proxy, method, arguments) -> {
            try {
                if (!method.getName().equals("quantize")) {
                    return method.invoke(ops, arguments);
                }
                Shape shape = ((TensorView) arguments[0]).shape();
                Weight.FourBit first = quantized.get(shape);
                Weight.FourBit weight = first == null ? (Weight.FourBit) method.invoke(ops, arguments) : copy(first, ops);
                quantized.putIfAbsent(shape, weight);
                return weight;
            } catch (InvocationTargetException failed) {
                throw failed.getCause();
            }
        });
        CausalLm model = ModelLoader.load(Families.read(config), new RandomModel(), options, copying);
        return new CausalLm(ops, model.spec(), model.embedding(), model.layers(), model.norm(), model.projectOut(), model.lmHead(), new HashMap<>());
    }

    private static Weight.FourBit copy(Weight.FourBit weight, Ops ops) {
        Tensor nested = weight.nestedAbsmax() == null ? null : copy(weight.nestedAbsmax(), ops);
        return new Weight.FourBit(weight.format(), weight.shape(), copy(weight.codes(), ops), copy(weight.absmax(), ops), nested, weight.offset());
    }

    private static Tensor copy(Tensor tensor, Ops ops) {
        Tensor copy = ops.allocate(tensor.dtype(), tensor.shape().toArray());
        ops.copyInto(copy, tensor);
        return copy;
    }

    @Override
    public TensorView read(String name, Shape shape, Arena arena) {
        return made.computeIfAbsent(shape, RandomModel::random);
    }

    private static TensorView random(Shape shape) {
        MemorySegment data = Arena.ofAuto().allocate(2 * shape.size(), 64);
        boolean norm = shape.rank() == 1;
        LongStream.range(0, Math.ceilDiv(shape.size(), (long) CHUNK)).parallel().forEach(chunk -> {
            for (long i = chunk * CHUNK; i < Math.min(shape.size(), (chunk + 1) * CHUNK); i++) {
                long bits = (i + 1) * 0x9E3779B97F4A7C15L;
                bits = (bits ^ bits >>> 30) * 0xBF58476D1CE4E5B9L;
                bits = (bits ^ bits >>> 27) * 0x94D049BB133111EBL;
                bits ^= bits >>> 31;
                // four uniform numbers have the variance 1/3
                float sum = (bits & 0xffff) + (bits >>> 16 & 0xffff) + (bits >>> 32 & 0xffff) + (bits >>> 48) - 2f * 0xffff;
                data.set(TensorView.SHORT, 2 * i, FloatConversion.toBf16(norm ? 1f : 0.02f * 1.732f * sum / 0x10000));
            }
        });
        return new TensorView(DType.BF16, shape, data);
    }

    @Override
    public QuantizedTensor readFourBit(String name, Shape shape) {
        return null;
    }
}
