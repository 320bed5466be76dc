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
import jqlora.model.Projection;
import jqlora.model.Residual;

/** Cohere (Command R): parallel branches behind one norm without bias, neighbouring coordinates rotated, a factor of the scores. */
final class CohereFamily implements Family {
    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        config.requireOff("use_qk_norm");
        int headDim = LlamaFamily.headDim(config), layers = config.positive("num_hidden_layers");
        boolean bias = config.flag("attention_bias", false);
        BranchNorms norm = BranchNorms.before("input_layernorm");
        AttentionSpec attention = LlamaFamily.attention(config, headDim, bias, bias, null, FamilyConfig.windows(layers, 0), config.rope(headDim).asInterleaved()).withNorms(norm);
        MlpSpec mlp = LlamaFamily.gatedMlp(config, false, config.activation("hidden_act", "silu"), norm);
        OutputSpec output = new OutputSpec(LlamaFamily.NORM, null, new Projection(LlamaFamily.HEAD, false), config.number("logit_scale", 0.0625), 0);
        return new DecoderSpec(config.config().modelType(), config.positive("vocab_size"), config.positive("hidden_size"), layers, LlamaFamily.embedding(config, true, 1),
                new LayerSpec(LlamaFamily.PREFIX, Residual.PARALLEL, attention, mlp), new NormSpec(NormSpec.Kind.LAYER, config.number("layer_norm_eps", 1e-5), false), output, false,
                List.of());
    }
}
