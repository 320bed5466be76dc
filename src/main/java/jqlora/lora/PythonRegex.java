package jqlora.lora;

import java.util.regex.Pattern;

/** Regular expressions as PEFT's files have them, in Python's syntax, which differs from Java's in the names of groups. */
final class PythonRegex {
    private static final Pattern NAMED = Pattern.compile("\\(\\?P<(\\w+)>"), REFERENCE = Pattern.compile("\\(\\?P=(\\w+)\\)");

    private PythonRegex() { }

    /** @throws java.util.regex.PatternSyntaxException if it is none */
    static Pattern compile(String regex) {
        String named = NAMED.matcher(regex).replaceAll(match -> "(?<" + javaName(match.group(1)) + ">");
        return Pattern.compile(REFERENCE.matcher(named).replaceAll(match -> "\\\\k<" + javaName(match.group(1)) + ">"));
    }

    /** Java's names have letters and digits only, and begin with a letter. */
    private static String javaName(String pythonName) {
        return "g" + pythonName.replace("_", "00");
    }
}
