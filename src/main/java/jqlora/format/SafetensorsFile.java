package jqlora.format;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import jqlora.tensor.NearNames;
import jqlora.tensor.TensorView;

/**
 * A safetensors file, mapped: opening reads the header alone, whatever the size of the file.
 *
 * <p>The layout is 8 bytes with the header's length n (little-endian), n bytes of JSON, then the tensors' bytes without a gap.
 * Several threads may read at once.
 *
 * @see <a href="https://github.com/huggingface/safetensors#format">the safetensors format</a>
 */
public final class SafetensorsFile implements NamedTensors {
    /** The longest header that is read, in bytes; the reference's limit. */
    static final long LONGEST_HEADER = 100_000_000;
    static final int LENGTH_BYTES = 8;

    private final Path path;
    private final Arena arena;
    private final MemorySegment data;
    private final SafetensorsHeader header;

    private SafetensorsFile(Path path, Arena arena, MemorySegment data, SafetensorsHeader header) {
        this.path = path;
        this.arena = arena;
        this.data = data;
        this.header = header;
    }

    /**
     * Maps {@code path} and checks its header against the reference's rules.
     *
     * @throws SafetensorsException if there is no such file, or it is not a well-formed safetensors file
     */
    public static SafetensorsFile open(Path path) throws IOException {
        if (!Files.isRegularFile(path)) {
            throw new SafetensorsException(path, (Files.exists(path) ? "is not a file" : "does not exist") + ", it must be a safetensors file");
        }
        Arena arena = Arena.ofShared();
        boolean opened = false;
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            MemorySegment file = channel.map(MapMode.READ_ONLY, 0, channel.size(), arena);
            long headerEnd = LENGTH_BYTES + headerLength(path, file);
            MemorySegment data = file.asSlice(headerEnd);
            String json = decode(path, file.asSlice(LENGTH_BYTES, headerEnd - LENGTH_BYTES).asByteBuffer());
            SafetensorsFile result = new SafetensorsFile(path, arena, data, SafetensorsHeader.parse(path, json, data.byteSize()));
            opened = true;
            return result;
        } finally {
            if (!opened) {
                arena.close();
            }
        }
    }

    private static long headerLength(Path path, MemorySegment file) throws SafetensorsException {
        if (file.byteSize() < LENGTH_BYTES) {
            throw new SafetensorsException(path, "has " + file.byteSize() + " bytes, a safetensors file begins with 8 for the header's length");
        }
        long length = file.get(TensorView.LONG, 0);
        if (length < 0 || length > LONGEST_HEADER) {
            throw new SafetensorsException(path, "its first 8 bytes say that the header has " + Long.toUnsignedString(length)
                    + " bytes, it must have at most " + LONGEST_HEADER + "; is it a safetensors file?");
        }
        if (length > file.byteSize() - LENGTH_BYTES) {
            throw new SafetensorsException(path, "its first 8 bytes say that the header has " + length + " bytes, but "
                    + (file.byteSize() - LENGTH_BYTES) + " follow; the file is cut off, or not a safetensors file");
        }
        return length;
    }

    private static String decode(Path path, ByteBuffer header) throws SafetensorsException {
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT).onUnmappableCharacter(CodingErrorAction.REPORT);
        CharBuffer chars = CharBuffer.allocate(header.remaining());
        CoderResult result = decoder.decode(header, chars, true);
        if (result.isError()) {
            throw new SafetensorsException(path, "header, byte " + header.position() + ": not UTF-8, the header must be JSON in UTF-8");
        }
        return chars.flip().toString();
    }

    @Override
    public Path path() {
        return path;
    }

    /** The header's free text, such as {@code format = pt}. */
    public Map<String, String> metadata() {
        return header.metadata();
    }

    @Override
    public Map<String, TensorInfo> infos() {
        return header.tensors();
    }

    @Override
    public TensorView get(String name) throws SafetensorsException {
        TensorInfo info = header.tensors().get(name);
        if (info == null) {
            throw new SafetensorsException(path, name, "is not there" + NearNames.hint(name, header.tensors().keySet()));
        }
        return new TensorView(info.dtype(), info.shape(), data.asSlice(info.begin(), info.byteSize()));
    }

    /** Ends the mapping; a second call does nothing. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }

    /** Such as {@code model.safetensors: 273 tensors, 269060160 bytes}. */
    @Override
    public String toString() {
        return path.getFileName() + ": " + header.tensors().size() + " tensors, " + byteSize() + " bytes";
    }
}
