package jqlora.format;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import jqlora.tensor.TensorView;

/**
 * Writes safetensors files, byte for byte as the Python library does: tensors by type, widest first, then by name; the header
 * padded with spaces to a multiple of 8. Metadata keeps the order of its map, where the library's order is random.
 *
 * @see <a href="https://github.com/huggingface/safetensors/blob/v0.8.0/safetensors/src/tensor.rs">safetensors 0.8.0, tensor.rs, prepare</a>
 */
public final class SafetensorsWriter {
    /** What transformers and PEFT write as metadata: {@code format = pt}. */
    public static final Map<String, String> PT = Map.of("format", "pt");

    /** A heap segment is copied to native memory for the system call, and the JDK keeps that copy for the thread: keep it small. */
    private static final long PIECE = 8 << 20;

    /** The reference sorts by its enum, whose order is that of {@link jqlora.tensor.DType}, then by the bytes of the name. */
    private static final Comparator<TensorSource> FILE_ORDER = Comparator.comparing(TensorSource::dtype).reversed()
            .thenComparing(TensorSource::name, SafetensorsWriter::compareCodePoints);

    private SafetensorsWriter() { }

    /**
     * Writes {@code tensors} to {@code target}, which appears when it is whole and on the disk.
     *
     * @param tensors in any order; asked for their bytes in the order of the file
     * @param metadata free text; none is written if it is empty
     * @throws SafetensorsException if a name occurs twice, is {@code __metadata__} or is not Unicode text, a tensor gives more or fewer bytes than it
     *     must, or the header would have more than 100 MB
     */
    public static void write(Path target, List<TensorSource> tensors, Map<String, String> metadata) throws IOException {
        try (PendingFile file = prepare(target, tensors, metadata)) {
            file.commit();
        }
    }

    /** As {@link #write}, but the file does not have its name yet. */
    static PendingFile prepare(Path target, List<TensorSource> tensors, Map<String, String> metadata) throws IOException {
        checkNames(target, tensors);
        List<TensorSource> ordered = tensors.stream().sorted(FILE_ORDER).toList();
        byte[] header = header(ordered, metadata);
        if (header.length > SafetensorsFile.LONGEST_HEADER) {
            throw new SafetensorsException(target, "its header would have " + header.length + " bytes, it must have at most "
                    + SafetensorsFile.LONGEST_HEADER);
        }
        long bytes = SafetensorsFile.LENGTH_BYTES + header.length + ordered.stream().mapToLong(TensorSource::byteSize).sum();
        return PendingFile.write(target, bytes, channel -> {
            MemorySegment length = MemorySegment.ofArray(new byte[SafetensorsFile.LENGTH_BYTES]);
            length.set(TensorView.LONG, 0, header.length);
            PendingFile.writeFully(channel, length.asByteBuffer());
            PendingFile.writeFully(channel, ByteBuffer.wrap(header));
            for (TensorSource tensor : ordered) {
                writeTensor(target, channel, tensor);
            }
        });
    }

    static void checkNames(Path target, List<TensorSource> tensors) throws SafetensorsException {
        Set<String> names = new HashSet<>();
        for (TensorSource tensor : tensors) {
            if (tensor.name().equals(SafetensorsHeader.METADATA)) {
                throw new SafetensorsException(target, tensor.name(), "is the key of the metadata, it must have another name");
            }
            if (!StandardCharsets.UTF_8.newEncoder().canEncode(tensor.name())) {
                throw new SafetensorsException(target, tensor.name(), "has a lone surrogate in its name, it must be Unicode text");
            }
            if (!names.add(tensor.name())) {
                throw new SafetensorsException(target, tensor.name(), "is given twice, a name must be unique");
            }
        }
    }

    private static void writeTensor(Path target, FileChannel channel, TensorSource tensor) throws IOException {
        long needed = tensor.byteSize();
        long start = channel.position();
        tensor.content().writeTo(bytes -> {
            if (channel.position() - start + bytes.byteSize() > needed) {
                throw wrongSize(target, tensor, channel.position() - start + bytes.byteSize());
            }
            for (long at = 0; at < bytes.byteSize(); at += PIECE) {
                PendingFile.writeFully(channel, bytes.asSlice(at, Math.min(PIECE, bytes.byteSize() - at)).asByteBuffer());
            }
        });
        if (channel.position() - start != needed) {
            throw wrongSize(target, tensor, channel.position() - start);
        }
    }

    private static SafetensorsException wrongSize(Path target, TensorSource tensor, long given) {
        return new SafetensorsException(target, tensor.name(), "its source gave " + given + " bytes, but " + tensor.dtype() + " "
                + tensor.shape() + " needs " + tensor.byteSize());
    }

    private static byte[] header(List<TensorSource> ordered, Map<String, String> metadata) {
        StringBuilder json = new StringBuilder("{");
        if (!metadata.isEmpty()) {
            json.append("\"__metadata__\":{");
            metadata.forEach((key, value) -> {
                quote(json, key).append(':');
                quote(json, value).append(',');
            });
            json.setCharAt(json.length() - 1, '}');
            json.append(',');
        }
        long begin = 0;
        for (TensorSource tensor : ordered) {
            long end = begin + tensor.byteSize();
            quote(json, tensor.name()).append(":{\"dtype\":\"").append(tensor.dtype()).append("\",\"shape\":[")
                    .append(LongStream.of(tensor.shape().toArray()).mapToObj(Long::toString).collect(Collectors.joining(",")))
                    .append("],\"data_offsets\":[").append(begin).append(',').append(end).append("]},");
            begin = end;
        }
        if (json.length() > 1) {
            json.setLength(json.length() - 1);
        }
        byte[] bytes = json.append('}').toString().getBytes(StandardCharsets.UTF_8);
        byte[] padded = Arrays.copyOf(bytes, Math.ceilDiv(bytes.length, 8) * 8);
        Arrays.fill(padded, bytes.length, padded.length, (byte) ' ');
        return padded;
    }

    /** serde_json's escapes: quote, backslash and control characters; all else as it is. */
    private static StringBuilder quote(StringBuilder json, String text) {
        json.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> json.append("\\\"");
                case '\\' -> json.append("\\\\");
                case '\b' -> json.append("\\b");
                case '\f' -> json.append("\\f");
                case '\n' -> json.append("\\n");
                case '\r' -> json.append("\\r");
                case '\t' -> json.append("\\t");
                default -> {
                    if (c < 0x20) {
                        json.append(String.format("\\u%04x", (int) c));
                    } else {
                        json.append(c);
                    }
                }
            }
        }
        return json.append('"');
    }

    /** The order of UTF-8 bytes, which is that of code points; UTF-16 units would put U+FFxx after emoji. */
    private static int compareCodePoints(String a, String b) {
        int[] left = a.codePoints().toArray(), right = b.codePoints().toArray();
        return Arrays.compare(left, right);
    }
}
