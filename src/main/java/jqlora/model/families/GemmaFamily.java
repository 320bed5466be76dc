package jqlora.model.families;

import java.io.IOException;
import java.util.ArrayList;
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
import jqlora.model.Residual;
import jqlora.model.RopeSpec;
import jqlora.ops.Activation;

/** Gemma: norms that store their distance from 1, scaled embeddings. Gemma 2 besides: norms behind each branch, caps of scores, every second layer with a window. Gemma 3: see there. */
final class GemmaFamily {
    private static final int HEAD_DIM = 256;

    private GemmaFamily() { }

    static DecoderSpec gemma(FamilyConfig config) throws IOException {
        config.requireOff("use_parallel_residual", "qk_layernorm", "use_bidirectional_attention");
        Activation activation = config.activation("hidden_act", "gelu_pytorch_tanh");
        // which older transformers computed, where the present one never looks
        if (config.values().has("hidden_activation") && config.activation("hidden_activation", "") != activation) {
            throw config.values().fault("hidden_activation", "null or as hidden_act, \"" + config.values().text("hidden_act", "gelu_pytorch_tanh") + "\"");
        }
        int headDim = config.positive("head_dim", HEAD_DIM);
        boolean bias = config.flag("attention_bias", false);
        AttentionSpec attention = LlamaFamily.attention(config, headDim, bias, bias, null, FamilyConfig.windows(config.positive("num_hidden_layers"), 0), config.rope(headDim));
        MlpSpec mlp = LlamaFamily.gatedMlp(config, config.flag("mlp_bias", false), activation, LlamaFamily.MLP_NORMS);
        return LlamaFamily.decoder(config, attention, mlp, norm(config), embedding(config));
    }

    static DecoderSpec gemma2(FamilyConfig config) throws IOException {
        int layers = config.positive("num_hidden_layers"), headDim = config.positive("head_dim", HEAD_DIM);
        boolean bias = config.flag("attention_bias", false);
        AttentionSpec attention = LlamaFamily.attention(config, headDim, bias, bias, null, windows(config, layers, 2), config.rope(headDim));
        return between(config, attention, cap(config, "attn_logit_softcapping", 50), cap(config, "final_logit_softcapping", 30));
    }

    /** Norms of heads besides, and layers that see everything rotate otherwise than those with a window. */
    static DecoderSpec gemma3(FamilyConfig config) throws IOException {
        int layers = config.positive("num_hidden_layers"), headDim = config.positive("head_dim", HEAD_DIM);
        boolean bias = config.flag("attention_bias", false);
        List<Integer> windows = windows(config, layers, config.positive(config.firstOf("sliding_window_pattern", "_sliding_window_pattern"), 6));
        RopeSpec full = config.ropeOf("full_attention", headDim, 1_000_000, "rope_theta"), sliding = config.ropeOf("sliding_attention", headDim, 10_000, "rope_local_base_freq");
        AttentionSpec attention = LlamaFamily.attention(config, headDim, bias, bias, new AttentionSpec.HeadNormNames("self_attn.q_norm", "self_attn.k_norm", false), windows, full)
                .withPositions(new Positions.Rotary(windows.stream().map(window -> window == 0 ? full : sliding).toList()));
        return between(config, attention, cap(config, "attn_logit_softcapping", 0), cap(config, "final_logit_softcapping", 0));
    }

    /** Layers whose branches stand between two norms each. */
    private static DecoderSpec between(FamilyConfig config, AttentionSpec like, float attentionCap, float cap) throws IOException {
        config.requireOff("use_bidirectional_attention");
        AttentionSpec attention = like.withScores((float) (1 / Math.sqrt(config.positive("query_pre_attn_scalar", HEAD_DIM))), attentionCap)
                .withNorms(new BranchNorms("input_layernorm", "post_attention_layernorm", null));
        MlpSpec mlp = LlamaFamily.gatedMlp(config, false, config.activation("hidden_activation", "gelu_pytorch_tanh"),
                new BranchNorms("pre_feedforward_layernorm", "post_feedforward_layernorm", null));
        OutputSpec plain = OutputSpec.of(LlamaFamily.NORM, LlamaFamily.HEAD);
        return new DecoderSpec(config.config().modelType(), config.positive("vocab_size"), config.positive("hidden_size"), config.positive("num_hidden_layers"), embedding(config),
                new LayerSpec(LlamaFamily.PREFIX, Residual.SEQUENTIAL, attention, mlp), norm(config), new OutputSpec(plain.norm(), null, plain.head(), 1, cap), false, List.of());
    }

    private static NormSpec norm(FamilyConfig config) throws IOException {
        return new NormSpec(NormSpec.Kind.RMS_FROM_ONE, config.number("rms_norm_eps", 1e-6));
    }

    private static EmbeddingSpec embedding(FamilyConfig config) throws IOException {
        return LlamaFamily.embedding(config, true, (float) Math.sqrt(config.positive("hidden_size")));
    }

    /** Null in the file is no cap, and no value is the family's own. */
    private static float cap(FamilyConfig config, String key, double fallback) throws IOException {
        return config.values().isSet(key) && !config.values().has(key) ? 0 : config.number(key, fallback);
    }

    /** @param pattern every so many-th layer sees everything */
    private static List<Integer> windows(FamilyConfig config, int layers, int pattern) throws IOException {
        List<String> types = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            types.add((i + 1) % pattern == 0 ? "full_attention" : "sliding_attention");
        }
        return config.windowsByType(layers, config.positive("sliding_window", 4096), types);
    }
}
