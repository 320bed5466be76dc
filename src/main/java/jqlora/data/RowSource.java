package jqlora.data;

import java.util.function.IntFunction;

/**
 * Where a row of tokens comes from, for error messages.
 *
 * @param place such as {@code train.jsonl: line 4}; empty if it is not known
 * @param token what a token is called: {@code 260 "<|tool|>"}, or its number alone
 */
public record RowSource(String place, IntFunction<String> token) {
    /** Not known. */
    public static final RowSource NONE = new RowSource("", Integer::toString);
}
