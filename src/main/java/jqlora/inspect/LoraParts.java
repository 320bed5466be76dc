package jqlora.inspect;

import jqlora.lora.LoraAdapter;
import jqlora.ops.LoraDelta;
import jqlora.ops.LoraFactors;
import jqlora.ops.Ops;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * One adapted layer in its parts, all in float32: {@code sum = weight + scaling B A}.
 *
 * @param module such as {@code model.layers.0.self_attn.q_proj}
 * @param weight W [out, in], decoded where it is in 4 bits
 * @param a A [r, in]
 * @param b B [out, r]
 * @param scaling loraAlpha / r, or loraAlpha / sqrt(r)
 * @param update scaling B A [out, in]
 * @param sum W + scaling B A [out, in]: what a merge would store, before rounding
 */
public record LoraParts(String module, TensorView weight, TensorView a, TensorView b, float scaling, TensorView update, TensorView sum) {
    /**
     * The parts of {@code module} under {@code adapter}, as they are now.
     *
     * @throws IllegalArgumentException if the adapter has nothing for the module
     */
    public static LoraParts of(LoraAdapter adapter, String module) {
        LoraFactors factors = adapter.factors().get(module);
        if (factors == null) {
            throw new IllegalArgumentException("LoRA parts: the adapter has nothing for \"" + module + "\"; it has " + String.join(", ", adapter.factors().keySet()));
        }
        Ops ops = adapter.model().ops();
        TensorView weight;
        try (Tensor floats = ops.toFloat(adapter.model().linear(module).weight())) {
            weight = ops.download(floats);
        }
        LoraDelta delta = LoraDelta.of(ops, factors);
        float[] update = new float[delta.outFeatures() * delta.inFeatures()], row = new float[delta.inFeatures()], sum = weight.toFloats();
        for (int i = 0; i < delta.outFeatures(); i++) {
            delta.row(i, row);
            System.arraycopy(row, 0, update, i * row.length, row.length);
        }
        for (int i = 0; i < sum.length; i++) {
            sum[i] += update[i];
        }
        long[] shape = weight.shape().toArray();
        return new LoraParts(module, weight, ops.download(factors.a().value()), ops.download(factors.b().value()), factors.scaling(),
                TensorView.ofFloats(update, shape), TensorView.ofFloats(sum, shape));
    }
}
