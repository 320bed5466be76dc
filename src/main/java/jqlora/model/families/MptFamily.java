package jqlora.model.families;

import java.io.IOException;
import java.util.List;
import jqlora.format.JsonView;
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
import jqlora.ops.Activation;
import jqlora.ops.HeadOrder;

/** MPT: linear biases instead of positions, no bias anywhere; as transformers computes it, whatever {@code no_bias} and {@code expansion_ratio} say. */
final class MptFamily implements Family {
    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        FamilyConfig.requireNull(config.values(), "logit_scale");
        int hidden = config.positive("d_model"), layers = config.positive("n_layers"), heads = config.positive("n_heads"), headDim = config.headDim("n_heads", hidden);
        JsonView kind = config.values().has("attn_config") ? config.values().object("attn_config") : JsonView.of("config.json", java.util.Map.of());
        FamilyConfig.requireNull(kind, "clip_qkv");
        for (String key : List.of("qk_ln", "prefix_lm")) {
            if (kind.flag(key, false)) {
                throw kind.fault(key, "false; what it switches on cannot be computed yet");
            }
        }
        if (!kind.flag("alibi", true)) {
            throw kind.fault("alibi", "true; transformers computes linear biases in any case");
        }
        float scale = kind.has("softmax_scale") ? (float) kind.number("softmax_scale") : AttentionSpec.scaleFor(headDim);
        AttentionSpec attention = new AttentionSpec(heads, heads, headDim, new Qkv.Fused(new Projection("attn.Wqkv", false), HeadOrder.SEPARATE),
                new Projection("attn.out_proj", false), null, FamilyConfig.windows(layers, 0), scale, 0,
                new Positions.Alibi(config.positive("max_seq_len", 2048), (float) kind.number("alibi_bias_max", 8)), BranchNorms.before("norm_1"));
        MlpSpec mlp = new MlpSpec(4 * hidden, Activation.GELU, false, List.of(new Projection("ffn.up_proj", false)), new Projection("ffn.down_proj", false),
                BranchNorms.before("norm_2"));
        EmbeddingSpec embedding = new EmbeddingSpec("transformer.wte", hidden, config.flag("tie_word_embeddings", true), 1, null, null);
        return new DecoderSpec("mpt", config.positive("vocab_size"), hidden, layers, embedding, new LayerSpec("transformer.blocks.", Residual.SEQUENTIAL, attention, mlp),
                new NormSpec(NormSpec.Kind.LAYER, config.number("layer_norm_epsilon", 1e-5), false), OutputSpec.of("transformer.norm_f", "lm_head"), false, List.of());
    }
}
