package jqlora.evaluate;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.nio.file.Path;
import java.util.List;
import jqlora.RandomAdapter;
import jqlora.TinyModel;
import jqlora.data.InstructionRow;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TextTokenizer;
import jqlora.generate.Assistant;
import jqlora.generate.GenerationConfig;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AnswerComparisonTest {
    private static final List<InstructionRow> QUESTIONS = List.of(InstructionRow.of("What is a riddle?", "A puzzle."), new InstructionRow("Translate.", "guten Tag", "good day"));

    @TempDir
    Path temp;

    @Test
    void rowsPutQuestionWantedBeforeAndAfterSideBySide() {
        AnswerComparison comparison = AnswerComparison.of(QUESTIONS, List.of("b1", "b2"), List.of("a1", "a2"));
        assertEquals(List.of(new AnswerComparison.Row("What is a riddle?", "A puzzle.", "b1", "a1"), new AnswerComparison.Row("Translate.\nguten Tag", "good day", "b2", "a2")),
                comparison.rows());
    }

    @Test
    void listsOfDifferentLengthsAreRefused() {
        assertFails(IllegalArgumentException.class, () -> AnswerComparison.of(QUESTIONS, List.of("b1"), List.of("a1", "a2", "a3")),
                "answers: 2 questions, 1 answers before and 3 after, there must be equally many");
        assertFails(IllegalArgumentException.class, () -> AnswerComparison.of(QUESTIONS, List.of("b1", "b2"), List.of("a1")), "2 answers before and 1 after");
    }

    @Test
    void anAdapterChangesAnswersAndTakingItOutBringsThemBack() throws Exception {
        try (CpuOps ops = CpuOps.create()) {
            Path folder = TinyModel.llama().writeWithTokenizer(temp, DType.F32, 8, ops);
            try (CausalLm model = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT); TextTokenizer tokenizer = TextTokenizer.open(folder)) {
                Assistant assistant = Assistant.of(model, SupervisedTokenizer.of(tokenizer)).withConfig(GenerationConfig.defaults().withMaxNewTokens(4));
                List<String> base = AnswerComparison.answers(assistant, QUESTIONS);
                try (LoraAdapter adapter = RandomAdapter.create(model, LoraConfig.defaults().withR(4), 0.5, 2)) {
                    List<String> adapted = AnswerComparison.answers(assistant, QUESTIONS);
                    assertNotEquals(base, adapted);
                    assertEquals(adapted, AnswerComparison.answers(assistant, QUESTIONS), "the same questions again");
                }
                assertEquals(base, AnswerComparison.answers(assistant, QUESTIONS), "without the adapter again");
            }
        }
    }
}
