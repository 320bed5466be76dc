package jqlora.format;

/** Text from a file, fit for an error message: in quotes, control characters escaped, long ones cut. */
final class Quoted {
    private static final int LONGEST = 160;

    private Quoted() { }

    static String of(String text) {
        StringBuilder out = new StringBuilder("\"");
        text.chars().limit(LONGEST).forEach(c -> {
            if (Character.isISOControl(c)) {
                out.append(String.format("\\u%04x", c));
            } else {
                out.append((char) c);
            }
        });
        return out.append(text.length() > LONGEST ? "\"... (" + text.length() + " characters)" : "\"").toString();
    }
}
