package jqlora.model.families;

import java.io.IOException;
import java.util.List;
import jqlora.model.AttentionSpec;
import jqlora.model.BranchNorms;
import jqlora.model.DecoderSpec;
import jqlora.model.MlpSpec;
import jqlora.model.Positions;
import jqlora.model.Projection;
import jqlora.model.RopeSpec;

/** GLM-4: norms before and behind each branch, neighbouring coordinates of a half of each head rotated, gate and up in one layer. */
final class GlmFamily {
    private GlmFamily() { }

    static DecoderSpec glm4(FamilyConfig config) throws IOException {
        int headDim = config.positive("head_dim", 128), layers = config.positive("num_hidden_layers");
        RopeSpec rope = config.partialRope(headDim, 0.5).asInterleaved();
        AttentionSpec attention = LlamaFamily.attention(config, headDim, config.flag("attention_bias", false), false, null, FamilyConfig.windows(layers, 0), rope)
                .withPositions(Positions.Rotary.of(rope, layers)).withNorms(new BranchNorms("input_layernorm", "post_self_attn_layernorm", null));
        MlpSpec mlp = new MlpSpec(config.positive("intermediate_size"), config.activation("hidden_act", "silu"), true, List.of(new Projection("mlp.gate_up_proj", false)),
                new Projection("mlp.down_proj", false), new BranchNorms("post_attention_layernorm", "post_mlp_layernorm", null));
        return LlamaFamily.decoder(config, attention, mlp, LlamaFamily.rms(config, 1.5625e-7), LlamaFamily.embedding(config, false, 1));
    }
}
