package jqlora.data;

import java.util.ArrayList;
import java.util.List;

/**
 * Makes training rows as qlora.py does: prompt and answer tokenized separately, the end token behind the answer, labels on the answer
 * alone. A row begins and ends as the model's own tokenizer says ({@link TextTokenizer#beginning}), once: what a template or an answer
 * writes itself is not written again. Earlier turns of a row are its prompt, each answer with the end token behind it, as the model will
 * have ended it. Which tokens are labelled follows from whose words they are, never from a pad id.
 *
 * @param learned what of a row is trained on
 * @see <a href="https://github.com/artidoro/qlora/blob/7f4e95a/qlora.py">qlora.py:448-505, DataCollatorForCausalLM</a>
 */
public record SupervisedTokenizer(TextTokenizer tokenizer, PromptTemplate template, LengthLimits limits, Learned learned) {
    /** What of a row is trained on. */
    public enum Learned {
        /** The row's own, the last. */
        LAST_ANSWER,
        /** The earlier ones too, as LLaMA-Factory does unless it is told {@code mask_history}. */
        EVERY_ANSWER,
        /** Every token, the prompt's too, as qlora.py's {@code train_on_source}. */
        EVERY_TOKEN
    }

    public SupervisedTokenizer(TextTokenizer tokenizer, PromptTemplate template, LengthLimits limits) {
        this(tokenizer, template, limits, Learned.LAST_ANSWER);
    }

    /** With the Alpaca template and qlora.py's limits. */
    public static SupervisedTokenizer of(TextTokenizer tokenizer) {
        return new SupervisedTokenizer(tokenizer, PromptTemplate.alpaca(), LengthLimits.defaults());
    }

    public SupervisedTokenizer withLimits(LengthLimits limits) {
        return new SupervisedTokenizer(tokenizer, template, limits, learned);
    }

    public SupervisedTokenizer withTemplate(PromptTemplate template) {
        return new SupervisedTokenizer(tokenizer, template, limits, learned);
    }

    public SupervisedTokenizer withLearned(Learned learned) {
        return new SupervisedTokenizer(tokenizer, template, limits, learned);
    }

    /**
     * The tokens of the prompt that {@code row} is asked with: those that its training row has before the answer.
     *
     * @throws IllegalArgumentException if so much must be cut from it that it asks for no answer any more
     */
    public int[] prompt(InstructionRow row) {
        return source(row, row.origin().place().isEmpty() ? "prompt" : row.origin().place()).ids.toIds();
    }

    /**
     * All rows as tokens.
     *
     * @throws IllegalArgumentException if a row has no token left to train on, or its prompt is cut so far that it asks for no answer; with
     *        the row's place
     */
    public TokenizedSet tokenize(List<InstructionRow> rows) {
        List<TokenizedRow> tokenized = new ArrayList<>();
        int promptsCut = 0, answersCut = 0, turnsLeftOut = 0, answersEmpty = 0;
        long lost = 0;
        for (InstructionRow row : rows) {
            String place = row.origin().placeOr(tokenized.size() + 1);
            Source source = source(row, place);
            MaskedTokens answer = ended(tokenizer.encode(row.output()), true);
            int target = Math.min(Math.min(answer.length(), limits.targetMaxLen()), limits.maxLength() - source.ids.length());
            if (target < 1) {
                throw new IllegalArgumentException(place + ": its prompt of " + source.ids.length() + " tokens leaves none of "
                        + limits.maxLength()
                        + " for the answer; maxLength must be larger or sourceMaxLen smaller");
            }
            promptsCut += source.cut ? 1 : 0;
            turnsLeftOut += source.turnsLeftOut;
            answersCut += target < answer.length() ? 1 : 0;
            answersEmpty += row.output().isBlank() ? 1 : 0;
            lost += answer.length() - target;
            MaskedTokens whole = source.ids.and(answer.first(target));
            tokenized.add(new TokenizedRow(whole.toIds(), whole.toMask(), new RowSource(row.origin().place(), tokenizer::describe)));
        }
        return new TokenizedSet(tokenized, promptsCut, answersCut, lost, turnsLeftOut, answersEmpty, UnreadColumns.of(rows));
    }

    /** @param cut whether tokens of its end are missing */
    private record Source(MaskedTokens ids, boolean cut, int turnsLeftOut) { }

    /** What stands before the answer, the earliest turns left out until it fits. */
    private Source source(InstructionRow row, String place) {
        for (int leftOut = 0; ; leftOut++) {
            InstructionRow shorter = row.withHistory(row.history().subList(leftOut, row.history().size()));
            MaskedTokens whole = begun(shorter);
            if (whole.length() <= limits.sourceMaxLen()) {
                return new Source(whole, false, leftOut);
            }
            if (shorter.history().isEmpty()) {
                requireQuestion(shorter, whole.length(), place);
                return new Source(whole.first(limits.sourceMaxLen()), true, leftOut);
            }
        }
    }

    private MaskedTokens begun(InstructionRow row) {
        MaskedTokens tokens = MaskedTokens.EMPTY;
        for (Segment segment : template.segments(row)) {
            tokens = switch (segment.kind()) {
                case PROMPT -> tokens.and(MaskedTokens.of(tokenizer.encode(segment.text()), learned == Learned.EVERY_TOKEN));
                case EARLIER_ANSWER -> tokens.and(ended(tokenizer.encode(segment.text()), learned != Learned.LAST_ANSWER));
                case ANSWER -> tokens;
            };
        }
        List<Integer> beginning = tokenizer.beginning();
        boolean written = beginning.isEmpty() || tokens.length() > 0 && tokens.id(0) == beginning.getFirst();
        return written ? tokens
                : MaskedTokens.of(beginning.stream().mapToInt(Integer::intValue).toArray(), learned == Learned.EVERY_TOKEN).and(tokens);
    }

    /** {@code answer} with the end token behind it, unless it has that already. */
    private MaskedTokens ended(int[] answer, boolean learned) {
        MaskedTokens tokens = MaskedTokens.of(answer, learned);
        boolean written = answer.length > 0 && answer[answer.length - 1] == tokenizer.eosId();
        return written ? tokens : tokens.and(MaskedTokens.of(new int[] {tokenizer.eosId()}, learned));
    }

    /** A prompt that lost all that the template has behind the question would be answered as if nothing were asked. */
    private void requireQuestion(InstructionRow row, int length, String place) {
        String tail = template.tail(row), prompt = template.prompt(row);
        if (tail.isEmpty() || limits.lostQuestion() == LengthLimits.LostQuestion.KEPT) {
            return;
        }
        int before = tokenizer.encode(prompt.substring(0, prompt.lastIndexOf(tail))).length + length - tokenizer.encode(prompt).length;
        if (limits.sourceMaxLen() <= before) {
            throw new IllegalArgumentException(place + ": " + (row.input().length() > row.instruction().length() ? "input" : "instruction")
                    + " is too long: the prompt has "
                    + length + " tokens, and sourceMaxLen, " + limits.sourceMaxLen() + ", cuts all of \"" + tail
                    + "\" from its end, so that it asks for no answer; set sourceMaxLen to at"
                    + " least " + length + ", shorten the row or leave it out, or keep such rows by withLostQuestion(KEPT), as qlora.py"
                    + " does");
        }
    }
}
