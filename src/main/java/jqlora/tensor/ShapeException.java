package jqlora.tensor;

/** A tensor has another shape than an operation needs; the message names the operation, the tensor and both shapes. */
public final class ShapeException extends IllegalArgumentException {
    private static final long serialVersionUID = 1L;

    public ShapeException(String message) {
        super(message);
    }

    /**
     * Checks that {@code actual} is {@code expected}.
     *
     * @param what the operation and its argument, such as {@code "rmsNorm: weight"}
     * @throws ShapeException if the shapes differ
     */
    public static void require(String what, Shape actual, Shape expected) {
        if (!actual.equals(expected)) {
            throw new ShapeException(what + " has shape " + actual + ", it must be " + expected);
        }
    }
}
