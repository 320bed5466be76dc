package jqlora.notebook;

import java.util.List;
import java.util.stream.Collectors;

/** Several shown things, one below the other. */
record Stack(List<Displayable> parts) implements Displayable {
    Stack(Displayable... parts) {
        this(List.of(parts));
    }

    @Override
    public String text() {
        return parts.stream().map(Displayable::text).filter(part -> !part.isEmpty()).collect(Collectors.joining("\n\n"));
    }

    @Override
    public String html() {
        return parts.stream().map(part -> part.png().map(png -> png.html(part.text())).orElseGet(part::html)).collect(Collectors.joining());
    }
}
