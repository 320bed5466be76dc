package jqlora.lora;

import java.util.regex.Pattern;

/** Regular expressions as PEFT's files have them, in Python's syntax, which differs from Java's in the names of groups. */
final class PythonRegex {
    private PythonRegex() { }

    /** @throws java.util.regex.PatternSyntaxException if it is none */
    static Pattern compile(String regex) {
        return Pattern.compile(regex.replace("(?P<", "(?<").replaceAll("\\(\\?P=(\\w+)\\)", "\\\\k<$1>"));
    }
}
