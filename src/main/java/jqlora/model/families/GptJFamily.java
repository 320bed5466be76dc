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
import jqlora.model.RopeSpec;

/** GPT-J: parallel branches behind one norm, neighbouring coordinates rotated, a bias on the output layer. */
final class GptJFamily implements Family {
    private static final double THETA = 10_000;

    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        int hidden = config.positive("n_embd"), layers = config.positive("n_layer"), heads = config.positive("n_head"), headDim = config.headDim("n_head", hidden);
        int rotaryDim = config.positive("rotary_dim", 64);
        if (rotaryDim % 2 != 0 || rotaryDim > headDim) {
            throw config.values().fault("rotary_dim", "even and at most a head's size, " + headDim);
        }
        RopeSpec rope = new RopeSpec(rotaryDim, THETA, new RopeSpec.Unscaled(), config.positive("n_positions", 2048), true);
        Qkv qkv = new Qkv.Separate(new Projection("attn.q_proj", false), new Projection("attn.k_proj", false), new Projection("attn.v_proj", false));
        BranchNorms norms = BranchNorms.before("ln_1");
        AttentionSpec attention = new AttentionSpec(heads, heads, headDim, qkv, new Projection("attn.out_proj", false), null, FamilyConfig.windows(layers, 0),
                AttentionSpec.scaleFor(headDim), 0, Positions.Rotary.of(rope, layers), norms);
        MlpSpec mlp = new MlpSpec(config.positive("n_inner", 4 * hidden), config.activation("activation_function", "gelu_new"), false,
                List.of(new Projection("mlp.fc_in", true)), new Projection("mlp.fc_out", true), norms);
        EmbeddingSpec embedding = new EmbeddingSpec("transformer.wte", hidden, config.flag("tie_word_embeddings", false), 1, null, null);
        return new DecoderSpec("gptj", config.positive("vocab_size"), hidden, layers, embedding, new LayerSpec("transformer.h.", Residual.PARALLEL, attention, mlp),
                new NormSpec(NormSpec.Kind.LAYER, config.number("layer_norm_epsilon", 1e-5)),
                new OutputSpec("transformer.ln_f", null, new Projection("lm_head", true), 1, 0), false, List.of(".attn.bias", ".attn.masked_bias"));
    }
}
