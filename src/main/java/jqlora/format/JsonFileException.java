package jqlora.format;

import java.io.IOException;

/** A JSON file is not as it must be. The message reads {@code file: key is value, it must be ...}. */
public final class JsonFileException extends IOException {
    private static final long serialVersionUID = 1L;

    /**
     * @param file the file's path or name
     * @param problem what is wrong, the key's path in front where there is one
     */
    public JsonFileException(String file, String problem) {
        super(file + ": " + problem);
    }
}
