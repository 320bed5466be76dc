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
import jqlora.ops.Activation;
import jqlora.ops.HeadOrder;

/** BLOOM: linear biases instead of positions, a norm of the embedding, a projection fused head by head. */
final class BloomFamily implements Family {
    private static final float ALIBI_MAX = 8;

    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        config.requireOff("apply_residual_connection_post_layernorm");
        String headsKey = config.firstOf("n_head", "num_attention_heads");
        int hidden = config.positive(config.firstOf("hidden_size", "n_embed")), layers = config.positive(config.firstOf("n_layer", "num_hidden_layers"));
        int heads = config.positive(headsKey), headDim = config.headDim(headsKey, hidden);
        AttentionSpec attention = new AttentionSpec(heads, heads, headDim, new Qkv.Fused(new Projection("self_attention.query_key_value", true), HeadOrder.BY_GROUP),
                new Projection("self_attention.dense", true), null, FamilyConfig.windows(layers, 0), AttentionSpec.scaleFor(headDim), 0,
                new Positions.Alibi(config.positive("seq_length", 2048), ALIBI_MAX), BranchNorms.before("input_layernorm"));
        MlpSpec mlp = new MlpSpec(4 * hidden, Activation.GELU_TANH, false, List.of(new Projection("mlp.dense_h_to_4h", true)), new Projection("mlp.dense_4h_to_h", true),
                BranchNorms.before("post_attention_layernorm"));
        EmbeddingSpec embedding = new EmbeddingSpec("transformer.word_embeddings", hidden, config.flag("tie_word_embeddings", true), 1, null, "transformer.word_embeddings_layernorm");
        return new DecoderSpec("bloom", config.positive("vocab_size"), hidden, layers, embedding, new LayerSpec("transformer.h.", Residual.SEQUENTIAL, attention, mlp),
                new NormSpec(NormSpec.Kind.LAYER, config.number("layer_norm_epsilon", 1e-5)), OutputSpec.of("transformer.ln_f", "lm_head"), false, List.of());
    }
}
