package jqlora.notebook;

import java.util.Optional;

/** A value that says how a notebook shows it. The kernel asks on the thread that shows the value, so an implementation that changes must lock. */
public interface Displayable {
    /** Plain text, for terminals and for readers of the notebook's source. */
    String text();

    /** HTML without script, style element or id, every value from outside escaped by {@link Html#escape}. */
    String html();

    /** A picture that stands for the value; where there is one, front ends prefer it over the HTML. */
    default Optional<PngImage> png() {
        return Optional.empty();
    }
}
