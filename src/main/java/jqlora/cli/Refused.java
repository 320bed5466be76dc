package jqlora.cli;

import java.util.function.Function;

/** What a record refuses, told under the name of the option that gave it the value. */
final class Refused {
    private Refused() { }

    /**
     * What {@code with} makes of {@code value}.
     *
     * @throws IllegalArgumentException if it refuses the value; the message begins with the option's name and the value
     */
    static <V, T> T orTaken(String option, V value, Function<V, T> with) {
        try {
            return with.apply(value);
        } catch (IllegalArgumentException refused) {
            String message = String.valueOf(refused.getMessage());
            throw message.startsWith(option) ? refused : new IllegalArgumentException(option + " is " + value + "; " + message, refused);
        }
    }

    /** @throws IllegalArgumentException if {@code value} is below {@code least}; null is not */
    static void below(String option, Number value, long least, String otherwise) {
        if (value != null && !(value.doubleValue() >= least)) {
            throw new IllegalArgumentException(option + " is " + value + ", it must be at least " + least + "; " + otherwise);
        }
    }
}
