package jqlora.model.families;

import java.io.IOException;
import java.util.List;
import jqlora.model.AttentionSpec;
import jqlora.model.DecoderSpec;
import jqlora.model.MlpSpec;
import jqlora.model.NormSpec;
import jqlora.model.Projection;

/** Nemotron: layer normalisation with weights that stand for their distance from 1, a plain MLP with squared ReLU, a half of each head rotated. */
final class NemotronFamily implements Family {
    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        int headDim = LlamaFamily.headDim(config), layers = config.positive("num_hidden_layers");
        boolean bias = config.flag("attention_bias", false), mlpBias = config.flag("mlp_bias", false);
        AttentionSpec attention = LlamaFamily.attention(config, headDim, bias, bias, null, FamilyConfig.windows(layers, 0), config.partialRope(headDim, 0.5));
        MlpSpec mlp = new MlpSpec(config.positive("intermediate_size"), config.activation("hidden_act", "relu2"), false, List.of(new Projection("mlp.up_proj", mlpBias)),
                new Projection("mlp.down_proj", mlpBias), LlamaFamily.MLP_NORMS);
        return LlamaFamily.decoder(config, attention, mlp, new NormSpec(NormSpec.Kind.LAYER_FROM_ONE, config.number("norm_eps", 1e-5)), LlamaFamily.embedding(config, false, 1));
    }
}
