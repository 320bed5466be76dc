package jqlora.format;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.ShapeException;

/**
 * The header of a safetensors file: every tensor's type, shape and place, and free text. Accepts and refuses the same headers as
 * the reference, with two exceptions: a name that occurs twice is refused, and so is a dimension above 2^63 - 1 (in a tensor
 * without elements).
 *
 * @param tensors in the order of their bytes
 * @see <a href="https://github.com/huggingface/safetensors/blob/v0.8.0/safetensors/src/tensor.rs">safetensors 0.8.0, tensor.rs, Metadata::validate</a>
 */
record SafetensorsHeader(Map<String, String> metadata, Map<String, TensorInfo> tensors) {
    /** The key of the free text; no tensor can have this name. */
    static final String METADATA = "__metadata__";

    /**
     * Reads a header and checks it against the bytes that follow.
     *
     * @param dataSize bytes of the file after the header
     */
    static SafetensorsHeader parse(Path path, String json, long dataSize) throws SafetensorsException {
        HeaderCursor cursor = new HeaderCursor(path, json);
        Map<String, String> metadata = null;
        Map<String, TensorInfo> tensors = new LinkedHashMap<>();
        for (boolean more = cursor.enter('{', '}'); more; more = cursor.more('}')) {
            String key = cursor.key();
            if (key.equals(METADATA)) {
                if (metadata != null) {
                    throw cursor.fault(METADATA + " occurs twice, it must occur once");
                }
                metadata = readMetadata(cursor);
            } else if (tensors.put(key, readTensor(path, cursor, key)) != null) {
                throw new SafetensorsException(path, key, "occurs twice in the header, a name must be unique");
            }
        }
        cursor.end();
        return new SafetensorsHeader(metadata == null ? Map.of() : Collections.unmodifiableMap(metadata),
                inOrderOfBytes(path, tensors.values(), dataSize));
    }

    private static Map<String, String> readMetadata(HeaderCursor cursor) throws SafetensorsException {
        Map<String, String> metadata = new LinkedHashMap<>();
        if (cursor.peek() == 'n') {
            cursor.nothing();
            return metadata;
        }
        for (boolean more = cursor.enter('{', '}'); more; more = cursor.more('}')) {
            String key = cursor.key();
            if (cursor.peek() != '"') {
                throw cursor.fault(METADATA + " " + Quoted.of(key) + " is " + cursor.found() + ", it must be a string");
            }
            metadata.put(key, cursor.string());
        }
        return metadata;
    }

    /** An object with the three keys, or, as the reference also takes it, an array of the three values. */
    private static TensorInfo readTensor(Path path, HeaderCursor cursor, String name) throws SafetensorsException {
        DType dtype = null;
        long[] dims = null, offsets = null;
        if (cursor.peek() == '[') {
            if (!cursor.enter('[', ']')) {
                throw new SafetensorsException(path, name, "its entry is an empty array, it must have 3 values");
            }
            dtype = readDType(path, cursor, name);
            cursor.take(',');
            dims = readNumbers(cursor, "shape");
            cursor.take(',');
            offsets = readNumbers(cursor, "data_offsets");
            if (cursor.more(']')) {
                throw new SafetensorsException(path, name, "its entry is an array of more than 3 values, it must have 3");
            }
        } else {
            for (boolean more = cursor.enter('{', '}'); more; more = cursor.more('}')) {
                String key = cursor.key();
                switch (key) {
                    case "dtype" -> dtype = once(path, name, key, dtype, readDType(path, cursor, name));
                    case "shape" -> dims = once(path, name, key, dims, readNumbers(cursor, key));
                    case "data_offsets" -> offsets = once(path, name, key, offsets, readNumbers(cursor, key));
                    default -> cursor.skip();
                }
            }
        }
        require(path, name, "dtype", dtype);
        require(path, name, "shape", dims);
        require(path, name, "data_offsets", offsets);
        if (offsets.length != 2) {
            throw new SafetensorsException(path, name, "data_offsets has " + offsets.length + " values, it must have 2");
        }
        try {
            return new TensorInfo(name, dtype, Shape.of(dims), offsets[0], offsets[1]);
        } catch (ShapeException tooLarge) {
            throw new SafetensorsException(path, name, tooLarge.getMessage());
        }
    }

    private static <T> T once(Path path, String name, String key, T before, T now) throws SafetensorsException {
        if (before != null) {
            throw new SafetensorsException(path, name, key + " occurs twice, it must occur once");
        }
        return now;
    }

    private static void require(Path path, String name, String key, Object value) throws SafetensorsException {
        if (value == null) {
            throw new SafetensorsException(path, name, key + " is missing; dtype, shape and data_offsets must be there");
        }
    }

    /** A name, or, as the reference also takes it, an object of one name and null. */
    private static DType readDType(Path path, HeaderCursor cursor, String name) throws SafetensorsException {
        boolean wrapped = cursor.peek() == '{';
        if (wrapped && !cursor.enter('{', '}') || cursor.peek() != '"') {
            throw new SafetensorsException(path, name, "dtype is " + cursor.found() + ", it must be a string");
        }
        String dtype = cursor.string();
        if (wrapped) {
            cursor.take(':');
            cursor.peek();
            cursor.nothing();
            if (cursor.more('}')) {
                throw new SafetensorsException(path, name, "dtype is an object, it must be a string");
            }
        }
        try {
            return DType.ofSafetensorsName(dtype);
        } catch (IllegalArgumentException unknown) {
            throw new SafetensorsException(path, name, unknown.getMessage());
        }
    }

    private static long[] readNumbers(HeaderCursor cursor, String what) throws SafetensorsException {
        long[] numbers = new long[4];
        int count = 0;
        for (boolean more = cursor.enter('[', ']'); more; more = cursor.more(']')) {
            if (count == numbers.length) {
                numbers = Arrays.copyOf(numbers, 2 * count);
            }
            numbers[count++] = cursor.whole(what);
        }
        return Arrays.copyOf(numbers, count);
    }

    /** Checks that the tensors fill the data from the first byte to the last, each with the bytes that its type and shape need. */
    private static Map<String, TensorInfo> inOrderOfBytes(Path path, Iterable<TensorInfo> tensors, long dataSize) throws SafetensorsException {
        List<TensorInfo> sorted = new ArrayList<>();
        tensors.forEach(sorted::add);
        sorted.sort(Comparator.comparingLong(TensorInfo::begin).thenComparingLong(TensorInfo::end));
        Map<String, TensorInfo> byName = new LinkedHashMap<>();
        long expected = 0;
        for (TensorInfo info : sorted) {
            String offsets = "data_offsets [" + info.begin() + ", " + info.end() + "]";
            if (info.end() < info.begin()) {
                throw new SafetensorsException(path, info.name(), offsets + " end before they begin");
            }
            if (info.begin() != expected) {
                throw new SafetensorsException(path, info.name(), offsets + " begin at " + info.begin() + ", but "
                        + (expected == 0 ? "the first tensor must begin at 0" : "the tensors before it end at " + expected));
            }
            long needed = needed(path, info);
            if (info.byteSize() != needed) {
                throw new SafetensorsException(path, info.name(), offsets + " span " + info.byteSize() + " bytes, but "
                        + info.dtype() + " " + info.shape() + " needs " + needed);
            }
            expected = info.end();
            byName.put(info.name(), info);
        }
        if (expected != dataSize) {
            throw new SafetensorsException(path, "its tensors take " + expected + " bytes, but " + dataSize
                    + " bytes follow the header; the file is " + (dataSize < expected ? "cut off" : "longer than it must be"));
        }
        return Collections.unmodifiableMap(byName);
    }

    private static long needed(Path path, TensorInfo info) throws SafetensorsException {
        try {
            return info.dtype().byteSize(info.shape().size());
        } catch (ArithmeticException overflow) {
            throw new SafetensorsException(path, info.name(), info.dtype() + " " + info.shape() + " has more than 2^63 - 1 bits");
        } catch (IllegalArgumentException partial) {
            throw new SafetensorsException(path, info.name(), partial.getMessage());
        }
    }
}
