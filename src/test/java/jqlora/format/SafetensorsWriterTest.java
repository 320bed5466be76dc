package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafetensorsWriterTest {
    @TempDir
    Path temp;

    @Test
    void bytesAreThoseOfThePythonLibrary() throws IOException {
        List<Path> files = new ArrayList<>(Oracle.list(Oracle.fixture("format"), "written_*.safetensors"));
        files.addAll(Oracle.list(Oracle.fixture("format/sharded"), "*.safetensors"));
        Random random = new Random(3);
        for (Path path : files) {
            Path copy = temp.resolve("copy.safetensors");
            try (SafetensorsFile file = SafetensorsFile.open(path)) {
                List<TensorSource> sources = new ArrayList<>();
                for (String name : file.names()) {
                    sources.add(TensorSource.of(name, file.get(name)));
                }
                Collections.shuffle(sources, random);
                SafetensorsWriter.write(copy, sources, file.metadata());
            }
            assertEquals(-1, Files.mismatch(path, copy), path.toString());
        }
    }

    @Test
    void whatIsWrittenIsRead() throws IOException {
        Random random = new Random(5);
        for (int trial = 0; trial < 200; trial++) {
            Map<String, TensorView> tensors = new LinkedHashMap<>();
            List<TensorSource> sources = new ArrayList<>();
            for (int i = random.nextInt(6); i > 0; i--) {
                TensorView tensor = tensor(random);
                String name = name(random);
                if (tensors.putIfAbsent(name, tensor) == null) {
                    sources.add(pieces(name, tensor, random));
                }
            }
            Map<String, String> metadata = new LinkedHashMap<>();
            for (int i = random.nextInt(3); i > 0; i--) {
                metadata.put(name(random), name(random));
            }
            Path path = temp.resolve("x.safetensors");
            SafetensorsWriter.write(path, sources, metadata);
            try (SafetensorsFile file = SafetensorsFile.open(path)) {
                assertEquals(metadata, file.metadata());
                assertEquals(tensors.keySet(), file.infos().keySet());
                for (Map.Entry<String, TensorView> entry : tensors.entrySet()) {
                    TensorView read = file.get(entry.getKey());
                    assertEquals(entry.getValue().toString(), read.toString());
                    assertEquals(-1, entry.getValue().data().mismatch(read.data()));
                }
            }
        }
        assertOnly("x.safetensors");
    }

    private static TensorView tensor(Random random) {
        DType dtype = DType.values()[random.nextInt(DType.values().length)];
        long[] dims = new long[random.nextInt(4)];
        Arrays.setAll(dims, i -> random.nextInt(5));
        if (dtype.bits() % 8 != 0) {
            dims = new long[] {8L * random.nextInt(4)};
        }
        byte[] bytes = new byte[(int) dtype.byteSize(Shape.of(dims).size())];
        random.nextBytes(bytes);
        return new TensorView(dtype, Shape.of(dims), MemorySegment.ofArray(bytes));
    }

    private static TensorSource pieces(String name, TensorView tensor, Random random) {
        return new TensorSource(name, tensor.dtype(), tensor.shape(), sink -> {
            for (long at = 0; at < tensor.data().byteSize();) {
                long length = Math.min(1 + random.nextInt(9), tensor.data().byteSize() - at);
                sink.write(tensor.data().asSlice(at, length));
                at += length;
            }
        });
    }

    private static String name(Random random) {
        StringBuilder name = new StringBuilder();
        for (int i = random.nextInt(6); i > 0; i--) {
            int c = random.nextInt(4) == 0 ? random.nextInt(0x11000) : random.nextInt(128);
            name.appendCodePoint(c >= 0xd800 && c < 0xe000 ? 'x' : c);
        }
        return name.toString();
    }

    @Test
    void wrongInputLeavesTheOldFile() throws IOException {
        Path target = Files.writeString(temp.resolve("m.safetensors"), "old");
        TensorView one = TensorView.ofFloats(new float[] {1}, 1);
        fails(target, List.of(new TensorSource("a", DType.F32, Shape.of(2), sink -> sink.write(one.data()))),
                "tensor \"a\": its source gave 4 bytes, but F32 [2] needs 8");
        fails(target, List.of(new TensorSource("a", DType.U8, Shape.of(3), sink -> sink.write(one.data()))),
                "tensor \"a\": its source gave 4 bytes, but U8 [3] needs 3");
        fails(target, List.of(TensorSource.of("a", one), TensorSource.of("a", one)), "tensor \"a\": is given twice");
        fails(target, List.of(TensorSource.of("__metadata__", one)), "tensor \"__metadata__\": is the key of the metadata");
        fails(target, List.of(TensorSource.of("\ud800", one)), "lone surrogate");
        assertFails(SafetensorsException.class, () -> SafetensorsWriter.write(target, List.of(), Map.of("k", "x".repeat(100_000_000))),
                "its header would have 100000032 bytes, it must have at most 100000000");
        IOException broken = new IOException("source broke");
        assertEquals(broken, assertFails(IOException.class, () -> SafetensorsWriter.write(target,
                List.of(new TensorSource("a", DType.F32, Shape.of(2), sink -> { throw broken; })), Map.of()), "source broke"));
        assertEquals("old", Files.readString(target));
        assertOnly("m.safetensors");
    }

    private static void fails(Path target, List<TensorSource> sources, String part) {
        assertFails(SafetensorsException.class, () -> SafetensorsWriter.write(target, sources, Map.of()), target + ": ", part);
    }

    @Test
    void metadataWithoutTensors() throws IOException {
        Path path = temp.resolve("m.safetensors");
        SafetensorsWriter.write(path, List.of(), SafetensorsWriter.PT);
        assertArrayEquals(SafetensorsFileTest.header("{\"__metadata__\":{\"format\":\"pt\"}}", 0), Files.readAllBytes(path));
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertEquals(SafetensorsWriter.PT, file.metadata());
        }
    }

    @Test
    @Tag("slow")
    void aTensorOverTwoGigabytes() throws IOException {
        long elements = (1L << 31) + 12345;
        byte[] piece = new byte[1 << 20];
        for (int i = 0; i < piece.length; i++) {
            piece[i] = (byte) (i * 31);
        }
        Path path = temp.resolve("large.safetensors");
        SafetensorsWriter.write(path, List.of(TensorSource.of("z", TensorView.ofFloats(new float[] {7}, 1)),
                new TensorSource("large", DType.U8, Shape.of(elements), sink -> {
                    for (long at = 0; at < elements; at += piece.length) {
                        sink.write(MemorySegment.ofArray(piece).asSlice(0, Math.min(piece.length, elements - at)));
                    }
                })), Map.of());
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            TensorView large = file.get("large");
            assertEquals(elements, large.data().byteSize());
            for (long at : new long[] {0, 1 << 20, (1L << 31) - 1, 1L << 31, elements - 1}) {
                assertEquals(piece[(int) (at % piece.length)], large.data().get(TensorView.BYTE, at));
            }
            assertEquals(7f, file.get("z").toFloats()[0]);
        }
    }

    private void assertOnly(String name) throws IOException {
        try (Stream<Path> files = Files.list(temp)) {
            assertEquals(List.of(temp.resolve(name)), files.toList());
        }
        assertTrue(Files.exists(temp.resolve(name)));
    }
}
