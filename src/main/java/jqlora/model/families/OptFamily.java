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

/** OPT: learned positions from row 2 on; OPT-350M besides normalises behind the residual and projects between two widths. */
final class OptFamily implements Family {
    private static final int OFFSET = 2;

    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        if (!config.flag("layer_norm_elementwise_affine", true)) {
            throw config.values().fault("layer_norm_elementwise_affine", "true; norms without weights cannot be computed yet");
        }
        int hidden = config.positive("hidden_size"), layers = config.positive("num_hidden_layers"), heads = config.positive("num_attention_heads");
        int headDim = config.headDim("num_attention_heads", hidden), width = config.positive("word_embed_proj_dim", hidden);
        boolean bias = config.flag("enable_bias", true), before = config.flag("do_layer_norm_before", true), projected = width != hidden;
        Qkv qkv = new Qkv.Separate(new Projection("self_attn.q_proj", bias), new Projection("self_attn.k_proj", bias), new Projection("self_attn.v_proj", bias));
        AttentionSpec attention = new AttentionSpec(heads, heads, headDim, qkv, new Projection("self_attn.out_proj", bias), null, FamilyConfig.windows(layers, 0),
                AttentionSpec.scaleFor(headDim), 0, new Positions.Learned("model.decoder.embed_positions", config.positive("max_position_embeddings", 2048), OFFSET),
                norms(before, "self_attn_layer_norm"));
        MlpSpec mlp = new MlpSpec(config.positive("ffn_dim", 4 * hidden), config.activation("activation_function", "relu"), false, List.of(new Projection("fc1", bias)),
                new Projection("fc2", bias), norms(before, "final_layer_norm"));
        EmbeddingSpec embedding = new EmbeddingSpec("model.decoder.embed_tokens", width, config.flag("tie_word_embeddings", true), 1,
                projected ? "model.decoder.project_in" : null, null);
        String norm = before && !config.flag("_remove_final_layer_norm", false) ? "model.decoder.final_layer_norm" : null;
        OutputSpec output = new OutputSpec(norm, projected ? "model.decoder.project_out" : null, new Projection("lm_head", false), 1, 0);
        return new DecoderSpec("opt", config.positive("vocab_size"), hidden, layers, embedding, new LayerSpec("model.decoder.layers.", Residual.SEQUENTIAL, attention, mlp),
                new NormSpec(NormSpec.Kind.LAYER, 1e-5f), output, false, List.of());
    }

    private static BranchNorms norms(boolean before, String name) {
        return before ? BranchNorms.before(name) : new BranchNorms(null, null, name);
    }
}
