package jqlora.data;

/**
 * How many tokens of a row are kept.
 *
 * @param sourceMaxLen of the prompt
 * @param targetMaxLen of the answer, its end token included
 * @param maxLength of both together; what is too much is cut from the answer's end
 * @param lostQuestion what becomes of a prompt that asks for no answer once it is cut
 */
public record LengthLimits(int sourceMaxLen, int targetMaxLen, int maxLength, LostQuestion lostQuestion) {
    /**
     * What becomes of a prompt whose end is cut so far that nothing is left of what the template has behind the question, such as {@code
     * ### Response:}.
     */
    public enum LostQuestion {
        /** It is refused, with its row: nobody would be asked so. */
        REFUSED,
        /** It is trained on as it is, as qlora.py does. */
        KEPT
    }

    public LengthLimits {
        if (sourceMaxLen < 1 || targetMaxLen < 1 || maxLength < 2) {
            throw new IllegalArgumentException("length limits: sourceMaxLen " + sourceMaxLen + ", targetMaxLen " + targetMaxLen + ", maxLength " + maxLength
                    + " must be at least 1, 1 and 2");
        }
    }

    /** Limits under which a prompt that loses its question is refused. */
    public LengthLimits(int sourceMaxLen, int targetMaxLen, int maxLength) {
        this(sourceMaxLen, targetMaxLen, maxLength, LostQuestion.REFUSED);
    }

    /** qlora.py:111-118. */
    public static LengthLimits defaults() {
        return new LengthLimits(1024, 256, 1280);
    }

    public LengthLimits withSourceMaxLen(int sourceMaxLen) {
        return new LengthLimits(sourceMaxLen, targetMaxLen, maxLength, lostQuestion);
    }

    public LengthLimits withTargetMaxLen(int targetMaxLen) {
        return new LengthLimits(sourceMaxLen, targetMaxLen, maxLength, lostQuestion);
    }

    public LengthLimits withMaxLength(int maxLength) {
        return new LengthLimits(sourceMaxLen, targetMaxLen, maxLength, lostQuestion);
    }

    public LengthLimits withLostQuestion(LostQuestion lostQuestion) {
        return new LengthLimits(sourceMaxLen, targetMaxLen, maxLength, lostQuestion);
    }
}
