package jqlora.format;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The text of a JSON file, which is UTF-8 (RFC 8259, section 8.1). A byte order mark in front, as Notepad and PowerShell write it, is taken
 * off.
 */
public final class Utf8File {
    private static final byte[] MARK = {(byte) 0xef, (byte) 0xbb, (byte) 0xbf};

    private Utf8File() { }

    /** What a file begins with that is no JSON at all, and what would do. */
    private enum Other {
        UTF_32("is UTF-32, by its byte order mark, it must be UTF-8; save it as UTF-8", 0xff, 0xfe, 0, 0),
        UTF_16LE("is UTF-16, by its byte order mark, it must be UTF-8; save it as UTF-8", 0xff, 0xfe),
        UTF_16BE("is UTF-16, by its byte order mark, it must be UTF-8; save it as UTF-8", 0xfe, 0xff),
        GZIP("is compressed with gzip, it must be plain JSON; unpack it first, as with gunzip", 0x1f, 0x8b),
        ZSTD("is compressed with zstd, it must be plain JSON; unpack it first, as with unzstd", 0x28, 0xb5, 0x2f, 0xfd),
        XZ("is compressed with xz, it must be plain JSON; unpack it first, as with unxz", 0xfd, '7', 'z', 'X', 'Z'),
        ZIP("is a zip archive (or a spreadsheet), it must be plain JSON; unpack or export it first", 'P', 'K', 3, 4),
        PARQUET("is a Parquet file, it must be JSON; export it first, as with pandas' to_json(..., orient=\"records\","
                + " lines=True)", 'P', 'A', 'R', '1'),
        ARROW("is an Arrow file, it must be JSON; export it first, as with to_json of the datasets library", 'A', 'R', 'R', 'O', 'W', '1');

        private final String problem;
        private final int[] start;

        Other(String problem, int... start) {
            this.problem = problem;
            this.start = start;
        }

        boolean begins(byte[] bytes) {
            if (bytes.length < start.length) {
                return false;
            }
            for (int i = 0; i < start.length; i++) {
                if ((bytes[i] & 0xff) != start[i]) {
                    return false;
                }
            }
            return true;
        }
    }

    /**
     * The file's text, without a byte order mark.
     *
     * @throws JsonFileException if there is no such file, or it is not UTF-8; the message says what it is where that can be told
     */
    public static String read(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new JsonFileException(file.toString(), Files.exists(file) ? "is not a file" : "does not exist");
        }
        byte[] bytes = Files.readAllBytes(file);
        for (Other other : Other.values()) {
            if (other.begins(bytes)) {
                throw new JsonFileException(file.toString(), other.problem);
            }
        }
        if (bytes.length > 1 && (bytes[0] == 0 || bytes[1] == 0)) {
            throw new JsonFileException(file.toString(), "byte " + (bytes[0] == 0 ? 0 : 1)
                    + " is 0, as in UTF-16 without a byte order mark; it must be UTF-8; save it as UTF-8");
        }
        int from = bytes.length >= MARK.length && bytes[0] == MARK[0] && bytes[1] == MARK[1] && bytes[2] == MARK[2] ? MARK.length : 0;
        ByteBuffer rest = ByteBuffer.wrap(bytes, from, bytes.length - from);
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(rest).toString();
        } catch (CharacterCodingException malformed) {
            throw new JsonFileException(file.toString(), "byte " + rest.position() + " is not UTF-8, in line "
                    + line(bytes, rest.position())
                    + "; the file must be JSON in UTF-8: save it as UTF-8");
        }
    }

    private static int line(byte[] bytes, int at) {
        int line = 1;
        for (int i = 0; i < at; i++) {
            line += bytes[i] == '\n' ? 1 : 0;
        }
        return line;
    }
}
