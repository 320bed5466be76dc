package jqlora.data;

/**
 * The text that a model is given before it answers. {@code {instruction}} and {@code {input}} stand for a row's parts; the answer follows
 * at once.
 *
 * @param withInput for rows that have an input
 * @param withoutInput for rows that have none
 */
public record PromptTemplate(String withInput, String withoutInput) {
    public PromptTemplate {
        if (!withInput.contains("{instruction}") || !withInput.contains("{input}") || !withoutInput.contains("{instruction}")) {
            throw new IllegalArgumentException("prompt template: it must contain {instruction}, and {input} where there is one");
        }
    }

    /**
     * The template of Stanford Alpaca in the form of qlora.py.
     *
     * @see <a href="https://github.com/artidoro/qlora/blob/7f4e95a/qlora.py">qlora.py:507-520, ALPACA_PROMPT_DICT</a>
     */
    public static PromptTemplate alpaca() {
        return new PromptTemplate("""
                Below is an instruction that describes a task, paired with an input that provides further context. \
                Write a response that appropriately completes the request.

                ### Instruction:
                {instruction}

                ### Input:
                {input}

                ### Response:\s""", """
                Below is an instruction that describes a task. Write a response that appropriately completes the request.

                ### Instruction:
                {instruction}

                ### Response:\s""");
    }

    /** The prompt for {@code row}. */
    public String prompt(InstructionRow row) {
        String template = row.input().isEmpty() ? withoutInput : withInput;
        StringBuilder prompt = new StringBuilder();
        int at = 0;
        for (int open; (open = template.indexOf('{', at)) >= 0; ) {
            prompt.append(template, at, open);
            if (template.startsWith("{instruction}", open)) {
                prompt.append(row.instruction());
                at = open + "{instruction}".length();
            } else if (template.startsWith("{input}", open)) {
                prompt.append(row.input());
                at = open + "{input}".length();
            } else {
                prompt.append('{');
                at = open + 1;
            }
        }
        return prompt.append(template, at, template.length()).toString();
    }
}
