package jqlora.format;

import java.util.regex.Pattern;

/** An access token of the Hub. It is never part of a text that this library makes. */
public final class HubToken {
    private static final Pattern VISIBLE = Pattern.compile("[!-~]*");

    private final String secret;

    private HubToken(String secret) {
        this.secret = secret;
    }

    /** No token: only public models can be downloaded. */
    public static HubToken none() {
        return new HubToken("");
    }

    /**
     * The token {@code secret}, without white space around it.
     *
     * @throws IllegalArgumentException if it has a character that cannot stand in an HTTP header; the message does not show it
     */
    public static HubToken of(String secret) {
        if (!VISIBLE.matcher(secret.strip()).matches()) {
            throw new IllegalArgumentException("the Hub token has white space or characters beyond ASCII, it must have neither");
        }
        return new HubToken(secret.strip());
    }

    /** Whether there is one. */
    public boolean isPresent() {
        return !secret.isEmpty();
    }

    /** The value of the {@code Authorization} header. */
    String header() {
        return "Bearer " + secret;
    }

    /** {@code token} or {@code no token}. */
    @Override
    public String toString() {
        return isPresent() ? "token" : "no token";
    }
}
