package jqlora.data;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.ShortBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A text as one stream of token ids, unsigned 16-bit little-endian, as {@code models/corpus} writes it; for training from scratch. */
public final class TokenFile {
    private TokenFile() { }

    /**
     * The stream cut into rows of {@code length} tokens, every token of which is trained on; what is left at the end is not used.
     *
     * @param vocabSize of the model
     * @throws IOException if the file cannot be read, has an odd number of bytes, fewer tokens than one row, or an id that is not below {@code vocabSize}
     * @throws IllegalArgumentException if {@code length} is less than 1
     */
    public static List<TokenizedRow> rows(Path file, int length, int vocabSize) throws IOException {
        if (length < 1) {
            throw new IllegalArgumentException("token file: length is " + length + ", it must be at least 1");
        }
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + (Files.exists(file) ? ": is not a file" : ": does not exist") + ", it must be one of unsigned 16-bit token ids");
        }
        byte[] bytes = Files.readAllBytes(file);
        if (bytes.length % 2 != 0) {
            throw new IOException(file + ": has " + bytes.length + " bytes, it must have two for each token; was its writing cut short?");
        }
        ShortBuffer tokens = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asShortBuffer();
        if (tokens.remaining() < length) {
            throw new IOException(file + ": has " + tokens.remaining() + " tokens, it must have at least " + length + " for one row; give more text, or shorter rows");
        }
        List<TokenizedRow> rows = new ArrayList<>();
        int[] ids = new int[length];
        for (int from = 0; from + length <= tokens.limit(); from += length) {
            for (int i = 0; i < length; i++) {
                ids[i] = tokens.get(from + i) & 0xffff;
            }
            int highest = Arrays.stream(ids).max().orElse(0);
            if (highest >= vocabSize) {
                throw new IOException(file + ": token id " + highest + " near token " + from + " must be below the model's vocabulary, " + vocabSize
                        + "; make the file with this model's tokenizer");
            }
            rows.add(new TokenizedRow(ids, 0));
        }
        return rows;
    }
}
