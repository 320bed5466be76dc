package jqlora.model.families;

import java.io.IOException;
import jqlora.model.AttentionSpec;
import jqlora.model.DecoderSpec;
import jqlora.model.NormSpec;

/** StableLM: Llama with layer normalisation and a part of each head rotated. */
final class StableLmFamily implements Family {
    private static final double ROTARY_FACTOR = 0.25;

    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        config.requireOff("use_parallel_residual", "qk_layernorm", "use_bidirectional_attention");
        int headDim = config.headDim("num_attention_heads", config.positive("hidden_size"));
        AttentionSpec attention = LlamaFamily.attention(config, headDim, config.flag("use_qkv_bias", false), false, null,
                FamilyConfig.windows(config.positive("num_hidden_layers"), 0), config.partialRope(headDim, ROTARY_FACTOR));
        return LlamaFamily.decoder(config, attention,
                LlamaFamily.gatedMlp(config, config.flag("mlp_bias", false), config.activation("hidden_act", "silu"), LlamaFamily.MLP_NORMS),
                new NormSpec(NormSpec.Kind.LAYER, config.number("layer_norm_eps", 1e-5)), LlamaFamily.embedding(config, false, 1));
    }
}
