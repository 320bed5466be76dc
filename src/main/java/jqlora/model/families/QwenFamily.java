package jqlora.model.families;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import jqlora.model.AttentionSpec;
import jqlora.model.DecoderSpec;

/** Qwen2 and Qwen3: Llama with biases of queries, keys and values, or with norms of each head; some layers may see a window. */
final class QwenFamily {
    private QwenFamily() { }

    static DecoderSpec qwen2(FamilyConfig config) throws IOException {
        return decoder(config, true, false, null);
    }

    static DecoderSpec qwen3(FamilyConfig config) throws IOException {
        boolean bias = config.flag("attention_bias", false);
        return decoder(config, bias, bias, new AttentionSpec.HeadNormNames("self_attn.q_norm", "self_attn.k_norm", false));
    }

    private static DecoderSpec decoder(FamilyConfig config, boolean qkvBias, boolean outputBias, AttentionSpec.HeadNormNames headNorms) throws IOException {
        config.requireOff("use_parallel_residual", "qk_layernorm", "use_bidirectional_attention");
        int headDim = LlamaFamily.headDim(config);
        AttentionSpec attention = LlamaFamily.attention(config, headDim, qkvBias, outputBias, headNorms, windows(config), config.rope(headDim));
        return LlamaFamily.decoder(config, attention,
                LlamaFamily.gatedMlp(config, config.flag("mlp_bias", false), config.activation("hidden_act", "silu"), LlamaFamily.MLP_NORMS),
                LlamaFamily.rms(config), LlamaFamily.embedding(config, false, 1));
    }

    private static List<Integer> windows(FamilyConfig config) throws IOException {
        int layers = config.positive("num_hidden_layers"), window = config.flag("use_sliding_window", false) ? config.positive("sliding_window", 4096) : 0;
        if (window == 0) {
            return FamilyConfig.windows(layers, 0);
        }
        int full = config.positive("max_window_layers", 28);
        List<String> types = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            types.add(i >= full ? "sliding_attention" : "full_attention");
        }
        return config.windowsByType(layers, window, types);
    }
}
