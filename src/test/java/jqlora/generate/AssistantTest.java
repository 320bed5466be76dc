package jqlora.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jqlora.TinyModel;
import jqlora.data.InstructionRow;
import jqlora.data.LengthLimits;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TextTokenizer;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A model that has learned nothing answers with any bytes, so characters of several tokens, and tokens that are no character, come by themselves. */
class AssistantTest {
    private static CpuOps ops;
    private static CausalLm model;
    private static TextTokenizer tokenizer;

    @TempDir
    private static Path folder;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        TinyModel.llama().with("max_position_embeddings", 512).writeWithTokenizer(folder, DType.F32, 1, ops);
        model = ModelLoader.load(folder, LoadOptions.asStored(), ops, LoadListener.SILENT);
        tokenizer = TextTokenizer.open(folder);
    }

    @AfterAll
    static void close() {
        tokenizer.close();
        model.close();
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after the model is closed");
        ops.close();
    }

    private static Assistant assistant(long seed) {
        return Assistant.of(model, SupervisedTokenizer.of(tokenizer).withLimits(LengthLimits.defaults().withSourceMaxLen(128)))
                .withConfig(GenerationConfig.defaults().withMaxNewTokens(16).withSampling(1, 0, 1).withSeed(seed));
    }

    /** The pieces together are the answer, each a piece of settled text; the listener changes nothing. */
    @Test
    void streamedPiecesAreTheAnswer() {
        InstructionRow row = new InstructionRow("Say something.", "你好", "");
        for (long seed = 0; seed < 2; seed++) {
            List<String> pieces = new ArrayList<>();
            String answer = assistant(seed).stream(row, pieces::add);
            assertEquals(assistant(seed).answer(row), answer);
            String streamed = String.join("", pieces);
            assertTrue(pieces.size() > 1, "pieces: " + pieces);
            assertFalse(streamed.endsWith("\uFFFD"), "a piece ends within a character: " + pieces);
            assertTrue(answer.startsWith(streamed.strip()), "streamed \"" + streamed + "\", answered \"" + answer + "\"");
            assertTrue(answer.length() - streamed.strip().length() <= 16, "only an unfinished character at the end is not streamed");
        }
    }

    /** The prompt is that of training: the answer is what the generator makes of the template's tokens. */
    @Test
    void asksInTheWordsOfTraining() {
        InstructionRow row = InstructionRow.of("Name a colour.", "");
        Assistant assistant = assistant(5);
        int[] made = new Generator(model, assistant.config(), tokenizer.stopIds()).generate(assistant.tokenizer().prompt(row));
        assertEquals(tokenizer.decode(made).strip(), assistant.answer("Name a colour."));
    }
}
