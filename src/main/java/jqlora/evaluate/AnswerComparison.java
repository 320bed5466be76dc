package jqlora.evaluate;

import java.util.ArrayList;
import java.util.List;
import jqlora.data.InstructionRow;
import jqlora.generate.Assistant;

/**
 * Answers of a model before and after something was done to it.
 *
 * @param rows in the order in which they were asked
 */
public record AnswerComparison(List<Row> rows) {
    public AnswerComparison {
        rows = List.copyOf(rows);
    }

    /** @param wanted the answer of the data set */
    public record Row(String question, String wanted, String before, String after) { }

    /** The answers to {@code questions}, for {@link #of}. */
    public static List<String> answers(Assistant assistant, List<InstructionRow> questions) {
        return questions.stream().map(assistant::answer).toList();
    }

    /**
     * Puts two lists of answers side by side.
     *
     * @throws IllegalArgumentException if the lists have different lengths
     */
    public static AnswerComparison of(List<InstructionRow> questions, List<String> before, List<String> after) {
        if (questions.size() != before.size() || questions.size() != after.size()) {
            throw new IllegalArgumentException("answers: " + questions.size() + " questions, " + before.size() + " answers before and " + after.size()
                    + " after, there must be equally many");
        }
        List<Row> rows = new ArrayList<>();
        for (int i = 0; i < questions.size(); i++) {
            InstructionRow row = questions.get(i);
            String question = row.input().isEmpty() ? row.instruction() : row.instruction() + "\n" + row.input();
            rows.add(new Row(question, row.output(), before.get(i), after.get(i)));
        }
        return new AnswerComparison(rows);
    }
}
