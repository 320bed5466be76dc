package jqlora.format;

import java.io.IOException;

/** A model cannot be had from the Hub or its cache. The message names the model and what to do; never a token or a signed address. */
public final class HubException extends IOException {
    private static final long serialVersionUID = 1L;

    public HubException(HubRepository repository, String problem) {
        super(repository + ": " + problem);
    }

    HubException(HubRepository repository, String problem, Throwable cause) {
        super(repository + ": " + problem, cause);
    }
}
