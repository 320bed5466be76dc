package jqlora.model;

import java.util.List;

/**
 * What is worth knowing about how a model was loaded.
 *
 * @param notes sentences about what was decided on the checkpoint's word rather than the options'
 * @param warnings sentences about what in the folder contradicts itself, and what was made of it
 */
public record LoadReport(List<String> notes, List<String> warnings) {
    public LoadReport {
        notes = List.copyOf(notes);
        warnings = List.copyOf(warnings);
    }

    /** A sentence a line, warnings first; empty if there is nothing to say. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        warnings.forEach(warning -> text.append(text.isEmpty() ? "" : System.lineSeparator()).append("warning: ").append(warning));
        notes.forEach(note -> text.append(text.isEmpty() ? "" : System.lineSeparator()).append(note));
        return text.toString();
    }
}
