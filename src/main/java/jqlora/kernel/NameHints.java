package jqlora.kernel;

import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import jdk.jshell.Diag;
import jdk.jshell.SourceCodeAnalysis;

/**
 * What to do about names that the compiler does not find: import a class of this name, or run the cell again that declared it.
 *
 * @param java      knows the classes that there are
 * @param aftermath knows what is gone
 */
record NameHints(SourceCodeAnalysis java, Aftermath aftermath) {
    private static final Pattern MISSING = Pattern.compile("symbol: (?:variable|class) (\\w+)");
    private static final Pattern INTERNAL = Pattern.compile("^(REPL|sun|com\\.sun|jdk\\.internal)\\.|\\.(internal|impl|shaded|repackaged)\\.");
    private static final int MAX_OFFERED = 4;
    private static final int INDEX_TRIES = 20;
    private static final long INDEX_WAIT_NANOS = 100_000_000L;

    /** What would do about {@code problems}. */
    List<String> of(List<Diag> problems) {
        return problems.stream().map(problem -> MISSING.matcher(ErrorText.message(problem))).filter(Matcher::find).map(name -> name.group(1)).distinct()
                .flatMap(name -> aftermath.gone(name).or(() -> importFor(name)).stream()).toList();
    }

    /** The import that {@code name} may lack. */
    private Optional<String> importFor(String name) {
        if (!Character.isUpperCase(name.charAt(0))) {
            return Optional.empty();
        }
        SourceCodeAnalysis.QualifiedNames known = java.listQualifiedNames(name, name.length());
        for (int tries = 0; tries < INDEX_TRIES && !known.isUpToDate(); tries++) {      // the names are gathered beside the kernel's start
            LockSupport.parkNanos(INDEX_WAIT_NANOS);
            known = java.listQualifiedNames(name, name.length());
        }
        List<String> types = known.getNames().stream().filter(type -> type.endsWith("." + name) && !INTERNAL.matcher(type).find())
                .sorted(Comparator.comparingInt(type -> type.startsWith("java.") ? 0 : type.startsWith("jqlora.") ? 1 : 2)).limit(MAX_OFFERED).toList();
        return types.isEmpty() ? Optional.empty()
                : Optional.of(types.stream().map(type -> "import " + type + ";").collect(Collectors.joining("   or   ", name + " may be one of these; run what you mean first:   ", "")));
    }
}
