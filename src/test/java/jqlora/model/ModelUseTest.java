package jqlora.model;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import jqlora.TinyModel;
import jqlora.ops.KvCache;
import jqlora.ops.Sequences;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.Test;

class ModelUseTest {
    private static final int[] TOKENS = {1, 2, 3};

    private static TokenBatch batch() {
        return TokenBatch.of(TOKENS, TOKENS, Sequences.ofLengths(TOKENS.length));
    }

    @Test
    void aClosedModelSaysThatItWasClosedAndHowToGetItAgain() throws IOException {
        try (CpuOps ops = CpuOps.create(1)) {
            CausalLm model = TinyModel.llama().open(ops, 3);
            model.use().named("the model tiny", "open it again with openModel(Path.of(\"tiny\"), ...)");
            assertFalse(model.isClosed());
            model.close();
            model.close();
            assertTrue(model.isClosed());
            String why = ": the model tiny was closed; open it again with openModel(Path.of(\"tiny\"), ...)";
            assertFails(IllegalStateException.class, () -> model.loss(batch()), "loss" + why);
            assertFails(IllegalStateException.class, () -> model.logits(TOKENS, Sequences.ofLengths(3)), "logits" + why);
            assertFails(IllegalStateException.class, () -> model.newCache(1, 8), "cache" + why);
            assertFails(IllegalStateException.class, () -> model.linears().values().iterator().next().replaceWeight(model.lmHead().weight()), "replacing a weight" + why);
        }
    }

    @Test
    void aLentModelComputesForItsThreadAlone() throws Exception {
        try (CpuOps ops = CpuOps.create(1); CausalLm model = TinyModel.llama().open(ops, 3)) {
            Thread other = Thread.ofPlatform().unstarted(() -> { });
            model.use().named("the model tiny", "");
            try (KvCache cache = model.newCache(1, 8)) {
                model.use().lend(other, "being trained", "wait");
                String why = ": the model tiny is being trained; wait";
                assertFails(IllegalStateException.class, () -> model.loss(batch()), "loss" + why);
                assertFails(IllegalStateException.class, () -> model.decode(TOKENS, Sequences.ofLengths(3), cache), "decoding" + why);
                assertFails(IllegalStateException.class, () -> model.use().lend(Thread.currentThread(), "being merged", "wait"), why);
                assertFails(IllegalStateException.class, model::close, "closing" + why);
                model.use().giveBack();
            }
            assertTrue(model.loss(batch()) > 0);
            model.use().lend(Thread.currentThread(), "being trained", "wait");
            assertTrue(model.loss(batch()) > 0, "its own thread");
            model.use().giveBack();
        }
    }
}
