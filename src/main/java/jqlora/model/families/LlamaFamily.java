package jqlora.model.families;

import java.io.IOException;
import java.util.Collections;
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
import jqlora.model.RopeSpec;
import jqlora.ops.Activation;

/** Llama and Mistral, and the names and the layer that many other families share with them. */
final class LlamaFamily {
    static final String PREFIX = "model.layers.", TABLE = "model.embed_tokens", NORM = "model.norm", HEAD = "lm_head";
    static final BranchNorms ATTENTION_NORMS = BranchNorms.before("input_layernorm"), MLP_NORMS = BranchNorms.before("post_attention_layernorm");

    private LlamaFamily() { }

    static DecoderSpec llama(FamilyConfig config) throws IOException {
        return decoder(config, FamilyConfig.windows(config.positive("num_hidden_layers"), 0));
    }

    static DecoderSpec mistral(FamilyConfig config) throws IOException {
        return decoder(config, FamilyConfig.windows(config.positive("num_hidden_layers"), config.positive("sliding_window", 0)));
    }

    /** Mistral with a window, or none, for each layer. */
    static DecoderSpec ministral(FamilyConfig config) throws IOException {
        int layers = config.positive("num_hidden_layers"), window = config.positive("sliding_window", 0);
        return decoder(config, window == 0 ? FamilyConfig.windows(layers, 0) : config.windowsByType(layers, window, Collections.nCopies(layers, "sliding_attention")));
    }

    private static DecoderSpec decoder(FamilyConfig config, List<Integer> windows) throws IOException {
        config.requireOff("use_parallel_residual", "qk_layernorm", "use_bidirectional_attention");
        boolean bias = config.flag("attention_bias", false);
        int headDim = headDim(config);
        AttentionSpec attention = attention(config, headDim, bias, bias, null, windows, config.rope(headDim));
        MlpSpec mlp = gatedMlp(config, config.flag("mlp_bias", false), config.activation("hidden_act", "silu"), MLP_NORMS);
        return decoder(config, attention, mlp, rms(config), embedding(config, false, 1));
    }

    // ---- what others share

    static int headDim(FamilyConfig config) throws IOException {
        return config.positive("head_dim", config.positive("hidden_size") / config.positive("num_attention_heads"));
    }

    static NormSpec rms(FamilyConfig config) throws IOException {
        return rms(config, 1e-6);
    }

    /** @param eps where the file does not say */
    static NormSpec rms(FamilyConfig config, double eps) throws IOException {
        return new NormSpec(NormSpec.Kind.RMS, config.number("rms_norm_eps", eps));
    }

    static EmbeddingSpec embedding(FamilyConfig config, boolean tiedByDefault, float scale) throws IOException {
        return new EmbeddingSpec(TABLE, config.positive("hidden_size"), config.flag("tie_word_embeddings", tiedByDefault), scale, null, null);
    }

    static AttentionSpec attention(FamilyConfig config, int headDim, boolean qkvBias, boolean outputBias, AttentionSpec.HeadNormNames headNorms, List<Integer> windows, RopeSpec rope)
            throws IOException {
        int heads = config.positive("num_attention_heads");
        Qkv qkv = new Qkv.Separate(new Projection("self_attn.q_proj", qkvBias), new Projection("self_attn.k_proj", qkvBias), new Projection("self_attn.v_proj", qkvBias));
        return new AttentionSpec(heads, config.kvHeads("num_key_value_heads", heads), headDim, qkv, new Projection("self_attn.o_proj", outputBias), headNorms, windows,
                AttentionSpec.scaleFor(headDim), 0, Positions.Rotary.of(rope, windows.size()), ATTENTION_NORMS);
    }

    static MlpSpec gatedMlp(FamilyConfig config, boolean bias, Activation activation, BranchNorms norms) throws IOException {
        return new MlpSpec(config.positive("intermediate_size"), activation, true, List.of(new Projection("mlp.gate_proj", bias), new Projection("mlp.up_proj", bias)),
                new Projection("mlp.down_proj", bias), norms);
    }

    static DecoderSpec decoder(FamilyConfig config, AttentionSpec attention, MlpSpec mlp, NormSpec norm, EmbeddingSpec embedding) throws IOException {
        return new DecoderSpec(config.config().modelType(), config.positive("vocab_size"), config.positive("hidden_size"), config.positive("num_hidden_layers"), embedding,
                new LayerSpec(PREFIX, Residual.SEQUENTIAL, attention, mlp), norm, OutputSpec.of(NORM, HEAD), false, List.of());
    }
}
