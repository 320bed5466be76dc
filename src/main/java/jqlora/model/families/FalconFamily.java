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

/** Falcon: a fused projection in three orders, parallel branches behind one norm or two, or sequential ones. */
final class FalconFamily implements Family {
    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        config.requireOff("alibi");
        int hidden = config.positive("hidden_size"), layers = config.positive(config.firstOf("num_hidden_layers", "n_layer"));
        String headsKey = config.firstOf("num_attention_heads", "n_head");
        int heads = config.positive(headsKey), headDim = config.headDim(headsKey, hidden);
        boolean grouped = config.flag("new_decoder_architecture", false), oneKey = !grouped && config.flag("multi_query", true), bias = config.flag("bias", false);
        int kvHeads = grouped ? config.kvHeads(config.firstOf("num_kv_heads", "n_head_kv"), heads) : oneKey ? 1 : heads;
        boolean parallel = grouped || config.flag("parallel_attn", true);
        boolean twoNorms = grouped && config.positive("num_ln_in_parallel_attn", 2) == 2;
        String attentionNorm = twoNorms ? "ln_attn" : "input_layernorm", mlpNorm = twoNorms ? "ln_mlp" : parallel ? "input_layernorm" : "post_attention_layernorm";
        AttentionSpec attention = new AttentionSpec(heads, kvHeads, headDim,
                new Qkv.Fused(new Projection("self_attention.query_key_value", bias), oneKey ? HeadOrder.SEPARATE : HeadOrder.BY_GROUP),
                new Projection("self_attention.dense", bias), null, FamilyConfig.windows(layers, 0), AttentionSpec.scaleFor(headDim), 0,
                Positions.Rotary.of(config.rope(headDim), layers), BranchNorms.before(attentionNorm));
        MlpSpec mlp = new MlpSpec(config.positive("ffn_hidden_size", 4 * hidden), config.activation("activation", "gelu"), false,
                List.of(new Projection("mlp.dense_h_to_4h", bias)), new Projection("mlp.dense_4h_to_h", bias), BranchNorms.before(mlpNorm));
        EmbeddingSpec embedding = new EmbeddingSpec("transformer.word_embeddings", hidden, config.flag("tie_word_embeddings", true), 1, null, null);
        return new DecoderSpec("falcon", config.positive("vocab_size"), hidden, layers, embedding,
                new LayerSpec("transformer.h.", parallel ? Residual.PARALLEL : Residual.SEQUENTIAL, attention, mlp),
                new NormSpec(NormSpec.Kind.LAYER, config.number("layer_norm_epsilon", 1e-5)), OutputSpec.of("transformer.ln_f", "lm_head"), false, List.of());
    }
}
