package jqlora.train;

import java.io.IOException;

/** A run cannot go on: its numbers are no longer finite, or it does not learn. */
public final class TrainingException extends IOException {
    private static final long serialVersionUID = 1L;

    TrainingException(String message) {
        super(message);
    }
}
