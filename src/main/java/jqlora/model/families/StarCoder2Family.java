package jqlora.model.families;

import java.io.IOException;
import java.util.List;
import jqlora.model.AttentionSpec;
import jqlora.model.DecoderSpec;
import jqlora.model.MlpSpec;
import jqlora.model.NormSpec;
import jqlora.model.Projection;

/** StarCoder2: layer normalisation, biases everywhere, a plain MLP. */
final class StarCoder2Family implements Family {
    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        int headDim = LlamaFamily.headDim(config), layers = config.positive("num_hidden_layers");
        boolean bias = config.flag("use_bias", true);
        AttentionSpec attention = LlamaFamily.attention(config, headDim, bias, bias, null, FamilyConfig.windows(layers, config.positive("sliding_window", 0)), config.rope(headDim));
        MlpSpec mlp = new MlpSpec(config.positive("intermediate_size"), config.activation("hidden_act", "gelu_pytorch_tanh"), false, List.of(new Projection("mlp.c_fc", bias)),
                new Projection("mlp.c_proj", bias), LlamaFamily.MLP_NORMS);
        return LlamaFamily.decoder(config, attention, mlp, new NormSpec(NormSpec.Kind.LAYER, config.number("norm_epsilon", 1e-5)), LlamaFamily.embedding(config, true, 1));
    }
}
