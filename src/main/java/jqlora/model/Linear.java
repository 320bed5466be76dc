package jqlora.model;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jqlora.ops.Dropout;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.Link;
import jqlora.ops.LoraFactors;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/** A linear layer under its name in the checkpoint, with a place for an adapter. */
public final class Linear implements AutoCloseable {
    private final String name;
    private final Parameter bias;
    private Weight weight;
    private WeightState state;
    private TensorPrint print, loadedPrint;
    private LoraFactors lora;
    private ModelUse use = new ModelUse("the layer");

    /** @param name without {@code .weight}, such as {@code model.layers.0.self_attn.q_proj}
     * @param bias null when there is none */
    Linear(String name, Weight weight, Parameter bias, LoadedWeight loaded) {
        this.name = name;
        this.weight = weight;
        this.bias = bias;
        this.state = WeightState.of(loaded);
    }

    /** Nothing of this layer is replaced unless {@code newUse} allows it. */
    void guardedBy(ModelUse newUse) {
        use = newUse;
    }

    public String name() {
        return name;
    }

    public Weight weight() {
        return weight;
    }

    /** What the weight is: what was loaded, and what has been merged into it. */
    public WeightState state() {
        return state;
    }

    /** What the bytes of the weight are now; looked at when first asked for. */
    TensorPrint print(Ops ops, Workers workers) {
        if (print == null) {
            print = TensorPrint.of(ops, name + ".weight", weight, workers);
        }
        return print;
    }

    /** What the bytes of the weight were when it was loaded; of a weight that something was merged into only if {@link #print} was asked before. */
    public TensorPrint loadedPrint(Ops ops, Workers workers) {
        if (loadedPrint == null && state.merges().isEmpty()) {
            loadedPrint = print(ops, workers);
        }
        return loadedPrint;
    }

    /**
     * Whether {@code numbers} are what the weight was loaded from. Of a weight that the checkpoint has in 4 bits nobody can tell; then it is true.
     *
     * @param numbers F32, BF16 or F16, of the weight's shape
     * @param arena for a converted copy
     */
    public boolean wasLoadedFrom(TensorView numbers, Ops ops, Arena arena, Workers workers) {
        TensorPrint loaded = loadedPrint(ops, workers);
        return switch (state.loaded()) {
            case LoadedWeight.FourBitFile file -> true;
            case LoadedWeight.Numbers(DType dtype) -> loaded == null || loaded.equals(TensorPrint.of(loaded.name(), Rounded.to(dtype, numbers, arena, workers), workers));
            case LoadedWeight.Quantized(FourBitFormat format) -> {
                try (Weight quantized = ops.quantize(Rounded.to(format.dtype(), numbers, arena, workers), format)) {
                    yield loaded == null || loaded.equals(TensorPrint.of(ops, loaded.name(), quantized, workers));
                }
            }
        };
    }

    /** Null when the layer has none. */
    public Parameter bias() {
        return bias;
    }

    /** The adapter in force; null when there is none. */
    public LoraFactors lora() {
        return lora;
    }

    public long inFeatures() {
        return weight.inFeatures();
    }

    public long outFeatures() {
        return weight.outFeatures();
    }

    /** Puts {@code lora} in force in place of what was there; null for none. The adapter's tensors stay the caller's. */
    public void setLora(LoraFactors lora) {
        if (lora != this.lora && !use.isClosed()) {                // an adapter may be closed after its model
            use.require("putting an adapter in force or out of force");
        }
        if (lora != null) {
            ShapeException.require(name + ": lora_A", lora.a().value().shape(), Shape.of(lora.r(), inFeatures()));
            ShapeException.require(name + ": lora_B", lora.b().value().shape(), Shape.of(outFeatures(), lora.r()));
        }
        this.lora = lora;
    }

    /** Puts {@code weight}, which is what {@code state} says, in place of the present one, which is returned open. */
    public Weight replaceWeight(Weight weight, WeightState state) {
        use.require("replacing a weight");
        ShapeException.require(name + ": weight", weight.shape(), this.weight.shape());
        Weight before = this.weight;
        this.weight = weight;
        this.state = state;
        this.print = null;
        return before;
    }

    /**
     * The layer's result for one row, with the adapter in force, without dropout; computed by {@code ops} as in a forward.
     *
     * @param x [inFeatures]
     * @return [outFeatures]
     */
    public float[] apply(Ops ops, float[] x) {
        ShapeException.require(name + ": x", Shape.of(x.length), Shape.of(inFeatures()));
        DType type = ops.computeType();
        MemorySegment numbers = MemorySegment.ofArray(new byte[Math.toIntExact(type.byteSize(x.length))]);
        FloatConversion.fromFloats(x, 0, x.length, type, numbers, 0);
        try (Tensor row = ops.upload(new TensorView(type, Shape.of(1, x.length), numbers));
                Tensor inner = lora == null ? null : ops.allocate(type, 1, lora.r());
                Tensor y = ops.linear(new Link(new Input.Kept(row), LinearGroup.of(weights()), inner), null, Dropout.NONE)) {
            return ops.download(y).toFloats();
        }
    }

    /** What an operation needs of this layer. */
    LinearWeights weights() {
        return new LinearWeights(weight, bias, lora);
    }

    /** Whether one of its numbers is trained, an adapter's included. */
    boolean isTrained() {
        return weight instanceof Weight.Dense(Parameter parameter) && parameter.isTrained() || bias != null && bias.isTrained()
                || lora != null && (lora.a().isTrained() || lora.b().isTrained());
    }

    /** Closes weight and bias, not the adapter. */
    @Override
    public void close() {
        weight.close();
        if (bias != null) {
            bias.close();
        }
    }

    /** Such as {@code model.layers.0.self_attn.q_proj [576, 576]}. */
    @Override
    public String toString() {
        return name + " " + weight.shape();
    }
}
