package jqlora.model.families;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import jqlora.model.AttentionSpec;
import jqlora.model.DecoderSpec;
import jqlora.model.Positions;
import jqlora.model.RopeSpec;

/** SmolLM3: Llama in which some layers do not rotate. */
final class SmolLm3Family implements Family {
    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        int headDim = LlamaFamily.headDim(config), layers = config.positive("num_hidden_layers");
        int window = config.flag("use_sliding_window", false) ? config.positive("sliding_window", 0) : 0;
        boolean bias = config.flag("attention_bias", false);
        List<RopeSpec> ropes = ropes(config, layers, config.rope(headDim));
        List<Integer> windows = window == 0 ? FamilyConfig.windows(layers, 0) : config.windowsByType(layers, window, types(ropes));
        AttentionSpec attention = LlamaFamily.attention(config, headDim, bias, bias, null, windows, config.rope(headDim)).withPositions(new Positions.Rotary(ropes));
        return LlamaFamily.decoder(config, attention,
                LlamaFamily.gatedMlp(config, config.flag("mlp_bias", false), config.activation("hidden_act", "silu"), LlamaFamily.MLP_NORMS),
                LlamaFamily.rms(config), LlamaFamily.embedding(config, true, 1));
    }

    /** {@code no_rope_layers} has a 1 for each layer that rotates, whatever its name; else every {@code no_rope_layer_interval}th does not. */
    private static List<RopeSpec> ropes(FamilyConfig config, int layers, RopeSpec rope) throws IOException {
        List<RopeSpec> ropes = new ArrayList<>();
        long[] rotating = config.values().has("no_rope_layers") ? config.values().wholes("no_rope_layers") : null;
        if (rotating != null && rotating.length != layers) {
            throw config.values().fault("no_rope_layers", "a list of " + layers + " numbers, one a layer");
        }
        int interval = config.positive("no_rope_layer_interval", 4);
        for (int i = 0; i < layers; i++) {
            ropes.add((rotating == null ? (i + 1) % interval != 0 : rotating[i] != 0) ? rope : null);
        }
        return ropes;
    }

    /** Layers that rotate see a window, where there is one. */
    private static List<String> types(List<RopeSpec> ropes) {
        return ropes.stream().map(rope -> rope == null ? "full_attention" : "sliding_attention").toList();
    }
}
