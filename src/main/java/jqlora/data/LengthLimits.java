package jqlora.data;

/**
 * How many tokens of a row are kept.
 *
 * @param sourceMaxLen of the prompt
 * @param targetMaxLen of the answer, its end token included
 * @param maxLength of both together; what is too much is cut from the answer's end
 */
public record LengthLimits(int sourceMaxLen, int targetMaxLen, int maxLength) {
    public LengthLimits {
        if (sourceMaxLen < 1 || targetMaxLen < 1 || maxLength < 2) {
            throw new IllegalArgumentException("length limits: sourceMaxLen " + sourceMaxLen + ", targetMaxLen " + targetMaxLen + ", maxLength " + maxLength
                    + " must be at least 1, 1 and 2");
        }
    }

    /** qlora.py:111-118. */
    public static LengthLimits defaults() {
        return new LengthLimits(1024, 256, 1280);
    }

    public LengthLimits withSourceMaxLen(int sourceMaxLen) {
        return new LengthLimits(sourceMaxLen, targetMaxLen, maxLength);
    }

    public LengthLimits withTargetMaxLen(int targetMaxLen) {
        return new LengthLimits(sourceMaxLen, targetMaxLen, maxLength);
    }

    public LengthLimits withMaxLength(int maxLength) {
        return new LengthLimits(sourceMaxLen, targetMaxLen, maxLength);
    }
}
