package jqlora.cli;

/**
 * What options that are true or false have in common: alone they mean true, and their help tells their default, which picocli leaves out.
 */
final class Flag {
    static final String ARITY = "0..1", ALONE = "true", LABEL = "BOOLEAN", DEFAULT = "  Default: ${DEFAULT-VALUE}";

    private Flag() { }
}
