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
import jqlora.model.Projection;
import jqlora.model.Qkv;
import jqlora.model.Residual;

/** GPT-Neo: learned positions, scores that are not scaled, layers that see everything and layers that see a window by turns. */
final class GptNeoFamily implements Family {
    private static final String ATTENTION = "attn.attention.";

    @Override
    public DecoderSpec read(FamilyConfig config) throws IOException {
        int hidden = config.positive("hidden_size"), layers = config.positive("num_layers"), heads = config.positive("num_heads"), headDim = config.headDim("num_heads", hidden);
        Qkv qkv = new Qkv.Separate(new Projection(ATTENTION + "q_proj", false), new Projection(ATTENTION + "k_proj", false), new Projection(ATTENTION + "v_proj", false));
        AttentionSpec attention = new AttentionSpec(heads, heads, headDim, qkv, new Projection(ATTENTION + "out_proj", true), null, windows(config, layers), 1, 0,
                new Positions.Learned("transformer.wpe", config.positive("max_position_embeddings", 2048), 0), BranchNorms.before("ln_1"));
        MlpSpec mlp = new MlpSpec(config.positive("intermediate_size", 4 * hidden), config.activation("activation_function", "gelu_new"), false,
                List.of(new Projection("mlp.c_fc", true)), new Projection("mlp.c_proj", true), BranchNorms.before("ln_2"));
        EmbeddingSpec embedding = new EmbeddingSpec("transformer.wte", hidden, config.flag("tie_word_embeddings", true), 1, null, null);
        return new DecoderSpec("gpt_neo", config.positive("vocab_size"), hidden, layers, embedding, new LayerSpec("transformer.h.", Residual.SEQUENTIAL, attention, mlp),
                new NormSpec(NormSpec.Kind.LAYER, config.number("layer_norm_epsilon", 1e-5)), OutputSpec.of("transformer.ln_f", "lm_head"), false,
                List.of(".attn.attention.bias", ".attn.attention.masked_bias"));
    }

    /** {@code attention_layers} names each layer; files have it, or transformers makes it of {@code attention_types}: patterns with how often they come. */
    private static List<Integer> windows(FamilyConfig config, int layers) throws IOException {
        int window = config.positive("window_size", 256);
        List<String> types = new ArrayList<>();
        if (config.values().has("attention_layers")) {
            types.addAll(config.values().texts("attention_layers"));
        } else if (config.values().has("attention_types") && config.values().value("attention_types") instanceof List<?> patterns) {
            for (Object pattern : patterns) {
                if (!(pattern instanceof List<?> pair) || pair.size() != 2 || !(pair.get(0) instanceof List<?> names) || !(pair.get(1) instanceof Number times)) {
                    throw config.values().fault("attention_types", "pairs of a list of names and a number, such as [[[\"global\", \"local\"], 12]]");
                }
                for (int i = 0; i < times.intValue(); i++) {
                    names.forEach(name -> types.add(String.valueOf(name)));
                }
            }
        } else {
            for (int i = 0; i < layers; i++) {
                types.add(i % 2 == 0 ? "global" : "local");
            }
        }
        String key = config.firstOf("attention_layers", "attention_types");
        if (types.size() != layers) {
            throw config.values().fault(key, "of " + layers + " layers, it has " + types.size());
        }
        List<Integer> windows = new ArrayList<>();
        for (String type : types) {
            windows.add(switch (type) {
                case "global" -> 0;
                case "local" -> window;
                default -> throw config.values().fault(key, "\"global\" or \"local\" for each layer");
            });
        }
        return windows;
    }
}
