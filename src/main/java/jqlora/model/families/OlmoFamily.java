package jqlora.model.families;

import java.io.IOException;
import jqlora.model.AttentionSpec;
import jqlora.model.BranchNorms;
import jqlora.model.DecoderSpec;

/** OLMo 2: Llama with norms behind each branch in place of those before it, and norms of all queries and all keys. */
final class OlmoFamily {
    private OlmoFamily() { }

    static DecoderSpec olmo2(FamilyConfig config) throws IOException {
        int headDim = LlamaFamily.headDim(config), layers = config.positive("num_hidden_layers");
        boolean bias = config.flag("attention_bias", false);
        AttentionSpec attention = LlamaFamily.attention(config, headDim, bias, bias, new AttentionSpec.HeadNormNames("self_attn.q_norm", "self_attn.k_norm", true),
                FamilyConfig.windows(layers, 0), config.rope(headDim)).withNorms(new BranchNorms(null, "post_attention_layernorm", null));
        return LlamaFamily.decoder(config, attention, LlamaFamily.gatedMlp(config, false, config.activation("hidden_act", "silu"),
                new BranchNorms(null, "post_feedforward_layernorm", null)), LlamaFamily.rms(config, 1e-5), LlamaFamily.embedding(config, false, 1));
    }
}
