package jqlora.data;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Makes training rows as qlora.py does: prompt and answer tokenized separately, the end token behind the answer, labels on the answer alone.
 * Which tokens are labelled follows from where the prompt ends, never from a pad id.
 *
 * @see <a href="https://github.com/artidoro/qlora/blob/7f4e95a/qlora.py">qlora.py:448-505, DataCollatorForCausalLM</a>
 */
public record SupervisedTokenizer(TextTokenizer tokenizer, PromptTemplate template, LengthLimits limits) {

    /** With the Alpaca template and qlora.py's limits. */
    public static SupervisedTokenizer of(TextTokenizer tokenizer) {
        return new SupervisedTokenizer(tokenizer, PromptTemplate.alpaca(), LengthLimits.defaults());
    }

    public SupervisedTokenizer withLimits(LengthLimits limits) {
        return new SupervisedTokenizer(tokenizer, template, limits);
    }

    public SupervisedTokenizer withTemplate(PromptTemplate template) {
        return new SupervisedTokenizer(tokenizer, template, limits);
    }

    /** The tokens of the prompt that {@code row} is asked with. */
    public int[] prompt(InstructionRow row) {
        int[] ids = tokenizer.encode(template.prompt(row));
        return Arrays.copyOf(ids, Math.min(ids.length, limits.sourceMaxLen()));
    }

    /**
     * All rows as tokens.
     *
     * @throws IllegalArgumentException if a row has no token left to train on, with its number
     */
    public TokenizedSet tokenize(List<InstructionRow> rows) {
        List<TokenizedRow> tokenized = new ArrayList<>();
        int promptsCut = 0, answersCut = 0;
        long lost = 0;
        for (InstructionRow row : rows) {
            int[] whole = tokenizer.encode(template.prompt(row)), answer = tokenizer.encode(row.output());
            int source = Math.min(whole.length, limits.sourceMaxLen());
            int target = Math.min(Math.min(answer.length + 1, limits.targetMaxLen()), limits.maxLength() - source);
            if (target < 1) {
                throw new IllegalArgumentException("row " + (tokenized.size() + 1) + ": its prompt of " + source + " tokens leaves none of " + limits.maxLength()
                        + " for the answer; maxLength must be larger or sourceMaxLen smaller");
            }
            int[] ids = Arrays.copyOf(whole, source + target);
            System.arraycopy(answer, 0, ids, source, Math.min(answer.length, target));
            if (target == answer.length + 1) {
                ids[ids.length - 1] = tokenizer.eosId();
            }
            promptsCut += source < whole.length ? 1 : 0;
            answersCut += target < answer.length + 1 ? 1 : 0;
            lost += answer.length + 1 - target;
            tokenized.add(new TokenizedRow(ids, source));
        }
        return new TokenizedSet(tokenized, promptsCut, answersCut, lost);
    }
}
