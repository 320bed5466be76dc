package jqlora.lora;

import static jqlora.Assert.assertClose;
import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import jqlora.Oracle;
import jqlora.RandomAdapter;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.model.TokenBatch;
import jqlora.ops.Sequences;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.Test;

/** An adapter on the output layer: scores, loss and decoding agree, and with the merged weight too. */
class HeadAdapterTest {
    private static final int[] IDS = {3, 141, 59, 26, 5, 35};
    private static final LoraConfig HEAD = LoraConfig.defaults().withR(4).withLoraDropout(0).withTargetModules("lm_head");

    @Test
    void scoresLossAndDecodingAreThoseOfTheMergedWeight() throws IOException {
        try (CpuOps ops = CpuOps.create()) {
            try (CausalLm model = ModelLoader.load(Oracle.path("families/llama"), LoadOptions.defaults(), ops, LoadListener.SILENT);
                    LoraAdapter adapter = RandomAdapter.create(model, HEAD, 0.2, 4)) {
                float[] scores = scores(model);
                float[] last = decoded(model);
                double loss = loss(model);
                assertClose("scores of the last token, decoded", last, Arrays.copyOfRange(scores, scores.length - last.length, scores.length), 1e-5, 1e-5);
                try (Merger.Merged merged = Merger.withoutOriginal().merge(adapter, MergeRoute.ONTO_BASE)) {
                    assertClose("scores", scores, scores(model), 1e-5, 1e-5);
                    assertClose("loss", loss, loss(model), 1e-6, 0);
                    merged.unmerge();
                }
                assertEquals(loss, loss(model));
            }
            assertEquals(0, ops.memory().bytesInUse());
        }
    }

    private static float[] scores(CausalLm model) {
        try (Tensor logits = model.logits(IDS, Sequences.ofLengths(IDS.length))) {
            return model.ops().download(logits).toFloats();
        }
    }

    private static float[] decoded(CausalLm model) {
        try (var cache = model.newCache(1, IDS.length)) {
            return model.decode(IDS, Sequences.continuing(new int[] {IDS.length}, new int[] {0}), cache)[0];
        }
    }

    private static double loss(CausalLm model) {
        return model.loss(TokenBatch.of(IDS, IDS, Sequences.ofLengths(IDS.length)));
    }

    @Test
    void aHeadThatIsAlsoTheEmbeddingIsRefused() throws IOException {
        try (CpuOps ops = CpuOps.create(); CausalLm model = ModelLoader.load(Oracle.path("families/llama_tied"), LoadOptions.defaults(), ops, LoadListener.SILENT)) {
            for (TargetModules targets : List.of(TargetModules.names("q_proj", "lm_head"), new TargetModules.Regex(".*(q_proj|head)"))) {
                assertFails(IllegalArgumentException.class, () -> LoraAdapter.create(model, HEAD.withTargetModules(targets), 1),
                        "targetModules: " + targets.text() + " matches lm_head, whose weight is the embedding's too in this model");
            }
            try (LoraAdapter adapter = LoraAdapter.create(model, HEAD.withTargetModules(new TargetModules.AllLinear()), 1)) {
                assertEquals(14, adapter.factors().size(), "all-linear leaves the head out");
            }
        }
    }
}
