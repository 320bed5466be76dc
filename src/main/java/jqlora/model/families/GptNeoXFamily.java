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

/** GPT-NeoX and Pythia: parallel branches with a norm each, a projection fused head by head, a part of each head rotated. */
final class GptNeoXFamily implements Family {
    private static final double ROTARY_FACTOR = 0.25;

    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        int hidden = config.positive("hidden_size"), layers = config.positive("num_hidden_layers"), heads = config.positive("num_attention_heads");
        int headDim = config.headDim("num_attention_heads", hidden);
        boolean bias = config.flag("attention_bias", true);
        AttentionSpec attention = new AttentionSpec(heads, heads, headDim, new Qkv.Fused(new Projection("attention.query_key_value", bias), HeadOrder.BY_GROUP),
                new Projection("attention.dense", bias), null, FamilyConfig.windows(layers, 0), AttentionSpec.scaleFor(headDim), 0,
                Positions.Rotary.of(config.partialRope(headDim, ROTARY_FACTOR), layers), BranchNorms.before("input_layernorm"));
        MlpSpec mlp = new MlpSpec(config.positive("intermediate_size", 4 * hidden), config.activation("hidden_act", "gelu"), false,
                List.of(new Projection("mlp.dense_h_to_4h", true)), new Projection("mlp.dense_4h_to_h", true), BranchNorms.before("post_attention_layernorm"));
        Residual residual = config.flag("use_parallel_residual", true) ? Residual.PARALLEL : Residual.SEQUENTIAL;
        EmbeddingSpec embedding = new EmbeddingSpec("gpt_neox.embed_in", hidden, config.flag("tie_word_embeddings", false), 1, null, null);
        return new DecoderSpec("gpt_neox", config.positive("vocab_size"), hidden, layers, embedding, new LayerSpec("gpt_neox.layers.", residual, attention, mlp),
                new NormSpec(NormSpec.Kind.LAYER, config.number("layer_norm_eps", 1e-5)), OutputSpec.of("gpt_neox.final_layer_norm", "embed_out"), false,
                List.of(".attention.bias", ".attention.masked_bias"));
    }
}
