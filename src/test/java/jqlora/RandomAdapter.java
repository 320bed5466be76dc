package jqlora;

import java.util.Random;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.CausalLm;
import jqlora.ops.LoraFactors;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/** Adapters as if they had been trained: a new one has B zero and changes nothing. */
public final class RandomAdapter {
    private RandomAdapter() { }

    /** A new adapter whose B is normal with {@code deviation}; in force. */
    public static LoraAdapter create(CausalLm model, LoraConfig config, double deviation, long seed) {
        LoraAdapter adapter = LoraAdapter.create(model, config, seed);
        Random random = new Random(seed);
        for (LoraFactors factors : adapter.factors().values()) {
            Tensor b = factors.b().value();
            float[] values = new float[Math.toIntExact(b.shape().size())];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (deviation * random.nextGaussian());
            }
            try (Tensor filled = model.ops().upload(TensorView.ofFloats(values, b.shape().toArray()))) {
                model.ops().copyInto(b, filled);
            }
        }
        return adapter;
    }
}
