package jqlora.kernel;

import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;

/**
 * What an exception says of itself, read once. Its class may be the user's own, so each of its methods may fail, return null, refer
 * to itself or return far too much; it is read where it was thrown, on the thread that an interrupt reaches.
 *
 * @param type       name of its class, as the JVM has it
 * @param message    may be empty
 * @param frames     innermost first
 * @param cause      empty at the end of the chain, after {@value #MAX_CAUSES} of them, and where the chain bites its tail
 * @param suppressed at most {@value #MAX_SUPPRESSED}
 * @param leftOut    what is not here of causes and suppressed ones, in words; empty if all are here
 */
record Thrown(String type, String message, List<StackTraceElement> frames, Optional<Thrown> cause, List<Thrown> suppressed, String leftOut) {
    private static final int MAX_CAUSES = 8;
    private static final int MAX_SUPPRESSED = 4;
    private static final int MAX_MESSAGE = 4_000;

    /** Reads {@code thrown}. */
    static Thrown of(Throwable thrown) {
        return of(thrown, Collections.newSetFromMap(new IdentityHashMap<>()), 0);
    }

    private static Thrown of(Throwable thrown, Set<Throwable> seen, int depth) {
        seen.add(thrown);
        String left = "";
        Throwable cause = read(thrown::getCause, null);
        Optional<Thrown> why = Optional.empty();
        if (cause != null && seen.contains(cause)) {
            left = "its cause is one of those above again";
        } else if (cause != null && depth == MAX_CAUSES) {
            left = "further causes are not shown";
        } else if (cause != null) {
            why = Optional.of(of(cause, seen, depth + 1));
        }
        List<Thrown> beside = new ArrayList<>();
        Throwable[] suppressed = read(thrown::getSuppressed, new Throwable[0]);
        for (Throwable one : suppressed) {
            if (beside.size() < MAX_SUPPRESSED && depth < MAX_CAUSES && !seen.contains(one)) {
                beside.add(of(one, seen, depth + 1));
            }
        }
        if (beside.size() < suppressed.length) {
            left += (left.isEmpty() ? "" : "; ") + (suppressed.length - beside.size()) + " more suppressed exceptions are not shown";
        }
        return new Thrown(thrown.getClass().getName(), messageOf(thrown), List.of(read(thrown::getStackTrace, new StackTraceElement[0])), why, List.copyOf(beside), left);
    }

    private static String messageOf(Throwable thrown) {
        try {
            return shortened(thrown.getLocalizedMessage());
        } catch (Throwable failed) {
            passOn(failed);
            return "(its getMessage() fails with " + failed.getClass().getSimpleName() + ")";
        }
    }

    /** {@code message} with a length that a notebook can show; never null. */
    static String shortened(String message) {
        if (message == null || message.length() <= MAX_MESSAGE) {
            return message == null ? "" : message;
        }
        return message.substring(0, MAX_MESSAGE) + " ... " + (message.length() - MAX_MESSAGE) + " more characters";
    }

    private static <T> T read(Supplier<T> part, T otherwise) {
        try {
            T value = part.get();
            return value == null ? otherwise : value;
        } catch (Throwable failed) {
            passOn(failed);
            return otherwise;
        }
    }

    private static void passOn(Throwable failed) {
        if (failed instanceof CellThread.CellStopped stopped) {
            throw stopped;
        }
    }
}
