package jqlora.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A cell taken apart into Java and magics. A magic is a line that begins with {@code %} and a letter where a Java statement could
 * begin: not inside a text block, a comment, a string, brackets, or an expression that goes on from the line before.
 *
 * @param cellMagic the {@code %%name} of the cell's first line, whose subject is the rest of the cell
 * @param pieces    the cell, in order
 */
record CellSource(Optional<Magic> cellMagic, List<Piece> pieces) {
    private static final Pattern MAGIC = Pattern.compile("[ \\t]*%([A-Za-z]\\w*)[ \\t]*(.*)");
    private static final Pattern CELL_MAGIC = Pattern.compile("%%([A-Za-z]\\w*)[ \\t]*(.*)");

    /** A stretch of Java, or a line magic. */
    sealed interface Piece {
        /** Line of the cell, from 1, on which the piece begins. */
        int firstLine();
    }

    /** Java source as it stands in the cell. */
    record Java(String code, int firstLine) implements Piece { }

    /** {@code %name arguments}. */
    record Magic(String name, String arguments, int firstLine) implements Piece { }

    /** The cell with every line that begins with {@code %} and a letter between statements as a magic. */
    static CellSource parse(String cell) {
        return parse(cell, name -> true, java -> true);
    }

    /**
     * The cell taken apart.
     *
     * @param known which names are those of magics
     * @param ends  whether Java source that ends with a closing brace ends a statement, so that none of it can go on behind
     */
    static CellSource parse(String cell, Predicate<String> known, Predicate<String> ends) {
        Matcher first = CELL_MAGIC.matcher(cell).region(JavaScanner.firstCode(cell), cell.length());
        if (first.lookingAt()) {
            int line = lines(cell, 0, first.start(1)) + 1;
            return new CellSource(Optional.of(new Magic(first.group(1), first.group(2).strip(), line)), pieces(cell, first.end(), known, ends));
        }
        return new CellSource(Optional.empty(), pieces(cell, 0, known, ends));
    }

    /** The cell with every magic replaced by blanks: Java with all positions kept. */
    static String blanked(String cell) {
        CellSource source = parse(cell);
        String[] lines = cell.split("\n", -1);
        source.cellMagic.ifPresent(magic -> lines[magic.firstLine - 1] = " ".repeat(lines[magic.firstLine - 1].length()));
        for (Piece piece : source.pieces) {
            if (piece instanceof Magic magic) {
                lines[magic.firstLine - 1] = " ".repeat(lines[magic.firstLine - 1].length());
            }
        }
        return String.join("\n", lines);
    }

    private static List<Piece> pieces(String cell, int from, Predicate<String> known, Predicate<String> ends) {
        List<Piece> pieces = new ArrayList<>();
        JavaScanner scanner = new JavaScanner(cell);
        int javaStart = from;
        int at = from;
        while (at < cell.length()) {
            int lineEnd = cell.indexOf('\n', at);
            lineEnd = lineEnd < 0 ? cell.length() : lineEnd;
            boolean lineStart = at == from || cell.charAt(at - 1) == '\n';
            Matcher magic = MAGIC.matcher(cell).region(at, lineEnd);
            boolean mayBe = lineStart && scanner.betweenStatements() && magic.matches();
            if (mayBe && (known.test(magic.group(1)) || !scanner.afterBrace() || ends.test(cell.substring(javaStart, at)))) {
                addJava(pieces, cell, javaStart, at);
                pieces.add(new Magic(magic.group(1), magic.group(2).strip(), lines(cell, 0, at) + 1));
                javaStart = Math.min(cell.length(), lineEnd + 1);
            } else {
                scanner.scan(at, Math.min(cell.length(), lineEnd + 1));
            }
            at = lineEnd + 1;
        }
        addJava(pieces, cell, javaStart, cell.length());
        return List.copyOf(pieces);
    }

    private static void addJava(List<Piece> pieces, String cell, int from, int to) {
        if (from < to && !cell.substring(from, to).isBlank()) {
            pieces.add(new Java(cell.substring(from, to), lines(cell, 0, from) + 1));
        }
    }

    /** Line ends in {@code cell} from {@code from} to {@code to}. */
    static int lines(String cell, int from, int to) {
        return (int) cell.substring(from, to).chars().filter(c -> c == '\n').count();
    }
}
