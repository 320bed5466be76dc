package jqlora.tensor;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;

/** Which of the known names someone may have meant: those at a small edit distance, and those that end with what was asked for. */
public final class NearNames {
    private static final int SHOWN = 3;

    private NearNames() { }

    private record Candidate(String name, int distance) { }

    /**
     * Up to three of {@code known}, nearest first. A name counts as near if at most a third of the characters of {@code asked}
     * differ (Levenshtein), or if one of the two names ends with a dot and the other. The name itself is not near it.
     */
    public static List<String> of(String asked, Collection<String> known) {
        int limit = Math.max(1, asked.length() / 3);
        List<Candidate> near = new ArrayList<>();
        for (String name : known) {
            boolean sameEnd = !asked.isEmpty() && name.endsWith("." + asked) || !name.isEmpty() && asked.endsWith("." + name);
            int distance = sameEnd ? 1 : distance(asked, name, limit);
            if (distance <= limit && !name.equals(asked)) {
                near.add(new Candidate(name, distance));
            }
        }
        near.sort(Comparator.comparingInt(Candidate::distance));         // stable: equals stay in the caller's order
        return near.stream().limit(SHOWN).map(Candidate::name).toList();
    }

    /** The end of an error message, such as {@code ; near it: "q_proj", "k_proj"}, or nothing if no name is near. */
    public static String hint(String asked, Collection<String> known) {
        List<String> near = of(asked, known);
        return near.isEmpty() ? "" : near.stream().collect(Collectors.joining("\", \"", "; near it: \"", "\""));
    }

    /** Insertions, deletions and replacements that turn {@code a} into {@code b}; some number above {@code limit} if more than that. */
    static int distance(String a, String b, int limit) {
        if (Math.abs(a.length() - b.length()) > limit) {
            return limit + 1;
        }
        int[] row = new int[b.length() + 1];
        for (int j = 0; j < row.length; j++) {
            row[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            int smallest = i;
            for (int j = 1; j < row.length; j++) {
                int replaced = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
                smallest = Math.min(smallest, row[j]);
            }
            if (smallest > limit) {
                return limit + 1;
            }
        }
        return row[b.length()];
    }
}
