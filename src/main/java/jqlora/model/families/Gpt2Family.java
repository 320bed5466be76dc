package jqlora.model.families;

import java.io.IOException;
import java.util.List;
import jqlora.model.AttentionSpec;
import jqlora.model.BranchNorms;
import jqlora.model.DecoderSpec;
import jqlora.model.EmbeddingSpec;
import jqlora.model.LayerSpec;
import jqlora.model.MlpSpec;
import jqlora.model.NormSpec;
import jqlora.model.OutputSpec;
import jqlora.model.Positions;
import jqlora.model.Projection;
import jqlora.model.Qkv;
import jqlora.model.Residual;
import jqlora.ops.HeadOrder;

/** GPT-2: learned positions, a fused projection, weights stored as [inFeatures, outFeatures]. */
final class Gpt2Family implements Family {
    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        config.requireOff("scale_attn_by_inverse_layer_idx", "add_cross_attention");
        int hidden = config.positive("n_embd"), layers = config.positive("n_layer"), heads = config.positive("n_head"), headDim = config.headDim("n_head", hidden);
        float scale = config.flag("scale_attn_weights", true) ? AttentionSpec.scaleFor(headDim) : 1;
        AttentionSpec attention = new AttentionSpec(heads, heads, headDim, new Qkv.Fused(new Projection("attn.c_attn", true), HeadOrder.SEPARATE),
                new Projection("attn.c_proj", true), null, FamilyConfig.windows(layers, 0), scale, 0,
                new Positions.Learned("transformer.wpe", config.positive("n_positions", 1024), 0), BranchNorms.before("ln_1"));
        MlpSpec mlp = new MlpSpec(config.positive("n_inner", 4 * hidden), config.activation("activation_function", "gelu_new"), false,
                List.of(new Projection("mlp.c_fc", true)), new Projection("mlp.c_proj", true), BranchNorms.before("ln_2"));
        EmbeddingSpec embedding = new EmbeddingSpec("transformer.wte", hidden, config.flag("tie_word_embeddings", true), 1, null, null);
        return new DecoderSpec("gpt2", config.positive("vocab_size"), hidden, layers, embedding, new LayerSpec("transformer.h.", Residual.SEQUENTIAL, attention, mlp),
                new NormSpec(NormSpec.Kind.LAYER, config.number("layer_norm_epsilon", 1e-5)), OutputSpec.of("transformer.ln_f", "lm_head"), true,
                List.of(".attn.bias", ".attn.masked_bias"));
    }
}
