package jqlora.model.families;

import java.io.IOException;
import java.util.List;
import jqlora.model.AttentionSpec;
import jqlora.model.DecoderSpec;
import jqlora.model.LayerSpec;
import jqlora.model.MlpSpec;
import jqlora.model.OutputSpec;
import jqlora.model.Projection;
import jqlora.model.Residual;

/** Granite: Llama with a factor at the embedding, the scores of attention, each branch and the output. */
final class GraniteFamily implements Family {
    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        int headDim = LlamaFamily.headDim(config), layers = config.positive("num_hidden_layers");
        boolean bias = config.flag("attention_bias", false);
        AttentionSpec attention = LlamaFamily.attention(config, headDim, bias, bias, null, FamilyConfig.windows(layers, 0), config.rope(headDim))
                .withScores(config.number("attention_multiplier", 1), 0);
        MlpSpec mlp = LlamaFamily.gatedMlp(config, config.flag("mlp_bias", false), config.activation("hidden_act", "silu"), LlamaFamily.MLP_NORMS);
        OutputSpec output = new OutputSpec(LlamaFamily.NORM, null, new Projection(LlamaFamily.HEAD, false), 1 / config.number("logits_scaling", 1), 0);
        return new DecoderSpec(config.config().modelType(), config.positive("vocab_size"), config.positive("hidden_size"), layers,
                LlamaFamily.embedding(config, false, config.number("embedding_multiplier", 1)),
                new LayerSpec(LlamaFamily.PREFIX, Residual.SEQUENTIAL, config.number("residual_multiplier", 1), attention, mlp), LlamaFamily.rms(config), output, false, List.of());
    }
}
