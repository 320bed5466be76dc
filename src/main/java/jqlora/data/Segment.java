package jqlora.data;

/**
 * A part of a row's text that is tokenized by itself.
 *
 * @param kind whose words they are
 */
public record Segment(String text, Kind kind) {
    /** Whose words a segment has. */
    public enum Kind {
        /** What the model is given: never learned. */
        PROMPT,
        /** An answer of an earlier turn: given, and learned if {@link SupervisedTokenizer.Learned#EVERY_ANSWER} is asked for. */
        EARLIER_ANSWER,
        /** The row's own answer: learned. */
        ANSWER
    }
}
