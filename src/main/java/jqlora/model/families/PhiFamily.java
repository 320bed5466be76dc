package jqlora.model.families;

import java.io.IOException;
import java.util.List;
import jqlora.model.AttentionSpec;
import jqlora.model.BranchNorms;
import jqlora.model.DecoderSpec;
import jqlora.model.LayerSpec;
import jqlora.model.MlpSpec;
import jqlora.model.NormSpec;
import jqlora.model.OutputSpec;
import jqlora.model.Positions;
import jqlora.model.Projection;
import jqlora.model.Qkv;
import jqlora.model.Residual;
import jqlora.model.RopeSpec;
import jqlora.ops.HeadOrder;

/** Phi-1 to Phi-2: parallel branches behind one norm, biases everywhere. Phi-3: Llama with fused projections. */
final class PhiFamily {
    private PhiFamily() { }

    static DecoderSpec phi(FamilyConfig config) throws IOException {
        config.requireOff("qk_layernorm");
        int hidden = config.positive("hidden_size"), layers = config.positive("num_hidden_layers"), headDim = config.headDim("num_attention_heads", hidden);
        BranchNorms norms = BranchNorms.before("input_layernorm");
        AttentionSpec attention = LlamaFamily.attention(config, headDim, true, true, null, FamilyConfig.windows(layers, 0), config.partialRope(headDim, 0.5))
                .withOutput(new Projection("self_attn.dense", true)).withNorms(norms);
        MlpSpec mlp = new MlpSpec(config.positive("intermediate_size", 4 * hidden), config.activation("hidden_act", "gelu_new"), false, List.of(new Projection("mlp.fc1", true)),
                new Projection("mlp.fc2", true), norms);
        return new DecoderSpec(config.config().modelType(), config.positive("vocab_size"), hidden, layers, LlamaFamily.embedding(config, false, 1),
                new LayerSpec(LlamaFamily.PREFIX, Residual.PARALLEL, attention, mlp), new NormSpec(NormSpec.Kind.LAYER, config.number("layer_norm_eps", 1e-5)),
                new OutputSpec("model.final_layernorm", null, new Projection(LlamaFamily.HEAD, true), 1, 0), false, List.of());
    }

    static DecoderSpec phi3(FamilyConfig config) throws IOException {
        int heads = config.positive("num_attention_heads"), layers = config.positive("num_hidden_layers"), headDim = config.headDim("num_attention_heads", config.positive("hidden_size"));
        RopeSpec rope = config.partialRope(headDim, 1);
        AttentionSpec attention = new AttentionSpec(heads, config.kvHeads("num_key_value_heads", heads), headDim,
                new Qkv.Fused(new Projection("self_attn.qkv_proj", false), HeadOrder.SEPARATE), new Projection("self_attn.o_proj", false), null,
                FamilyConfig.windows(layers, config.positive("sliding_window", 0)), AttentionSpec.scaleFor(headDim), 0,
                Positions.Rotary.of(rope, layers), LlamaFamily.ATTENTION_NORMS);
        MlpSpec mlp = new MlpSpec(config.positive("intermediate_size"), config.activation("hidden_act", "silu"), true, List.of(new Projection("mlp.gate_up_proj", false)),
                new Projection("mlp.down_proj", false), LlamaFamily.MLP_NORMS);
        NormSpec norm = new NormSpec(NormSpec.Kind.RMS, config.number("rms_norm_eps", 1e-5));
        return LlamaFamily.decoder(config, attention, mlp, norm, LlamaFamily.embedding(config, false, 1));
    }
}
