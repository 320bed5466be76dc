package jqlora.cli;

import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import jqlora.data.PromptTemplate;

/**
 * qlora.py's {@code dataset_format}: what stands around the words of a row.
 *
 * @see <a href="https://github.com/artidoro/qlora/blob/7f4e95a/qlora.py">qlora.py:606-635, format_dataset</a>
 */
enum DatasetFormat {
    ALPACA(PromptTemplate.alpaca()),
    /** The row's own words alone. */
    INPUT_OUTPUT(new PromptTemplate("{instruction}{input}", "{instruction}"));

    private static final List<String> OTHERS = List.of("chip2", "self-instruct", "hh-rlhf", "oasst1");

    private final PromptTemplate template;

    DatasetFormat(PromptTemplate template) {
        this.template = template;
    }

    PromptTemplate template() {
        return template;
    }

    /** Such as {@code input-output}. */
    String id() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    static DatasetFormat ofId(String id) {
        String known = Stream.of(values()).map(DatasetFormat::id).collect(Collectors.joining(" or "));
        return Stream.of(values()).filter(format -> format.id().equals(id)).findFirst().orElseThrow(() -> new IllegalArgumentException(
                "--dataset_format is \"" + id + "\", it must be " + known + (OTHERS.contains(id)
                        ? "; write such a data set as rows with input (the whole prompt) and output, and give input-output" : "")));
    }
}
