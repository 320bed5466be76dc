package jqlora.format;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointTest {
    private static final String A = "{\"a.weight\":[\"U8\",[2],[0,2]]}";

    @TempDir
    Path temp;

    @Test
    void shardsAreReadAndWrittenAsByTransformers() throws IOException {
        Path folder = Oracle.fixture("format/sharded");
        JsonView order = JsonView.read(folder.resolve("order.json"));
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            assertEquals(7, checkpoint.files().size());
            assertEquals(21, checkpoint.names().size());
            assertEquals(11936, checkpoint.byteSize());
            assertEquals("sharded: 21 tensors in 7 files, 11936 bytes", checkpoint.toString());
            CheckpointWriter.write(temp, sources(checkpoint, order.texts("names")), order.whole("max_shard_bytes"), order.whole("total_parameters"));
        }
        for (Path written : Oracle.list(folder, "model*")) {
            assertEquals(-1, Files.mismatch(written, temp.resolve(written.getFileName())), written.toString());
        }
        assertEquals(8, names(temp).size());
    }

    private static List<TensorSource> sources(Checkpoint checkpoint, List<String> names) throws IOException {
        List<TensorSource> sources = new ArrayList<>();
        for (String name : names) {
            sources.add(TensorSource.of(name, checkpoint.get(name)));
        }
        return sources;
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void aSmallerSaveLeavesNothingOfALargerOne() throws IOException {
        List<TensorSource> three = List.of(source("a", 4), source("b", 4), source("c", 4));
        CheckpointWriter.write(temp, three, 4, 12);
        assertEquals(4, names(temp).size());
        CheckpointWriter.write(temp, three, 8, 12);
        assertEquals(List.of("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"), names(temp));
        Files.writeString(temp.resolve("model-notes.safetensors"), "not a shard");
        CheckpointWriter.write(temp, three, 12, 12);
        assertEquals(List.of("model-notes.safetensors", "model.safetensors"), names(temp));
        CheckpointWriter.write(temp, three, 4, 12);
        assertFalse(Files.exists(temp.resolve("model.safetensors")));
        try (Checkpoint checkpoint = Checkpoint.open(temp)) {
            assertEquals(List.of("a", "b", "c"), checkpoint.names());
            assertTrue(checkpoint.contains("a") && !checkpoint.contains("d"));
        }
    }

    @Test
    void aTensorOverTheLimitHasAShardOfItsOwn() throws IOException {
        CheckpointWriter.write(temp, List.of(source("a", 2), source("big", 9), source("b", 2), source("c", 5)), 5, 18);
        try (Checkpoint checkpoint = Checkpoint.open(temp)) {
            List<List<String>> shards = checkpoint.files().values().stream().map(NamedTensors::names).toList();
            assertEquals(List.of(List.of("big"), List.of("a", "b"), List.of("c")), shards);
        }
    }

    @Test
    void aFailedSaveKeepsTheOldWeights() throws IOException {
        CheckpointWriter.write(temp, List.of(source("a", 4)), 100, 4);
        TensorSource broken = new TensorSource("z", DType.U8, Shape.of(1), sink -> { throw new IOException("disk full"); });
        assertFails(IOException.class, () -> CheckpointWriter.write(temp, List.of(source("b", 4), broken), 4, 5), "disk full");
        assertEquals(List.of("model.safetensors"), names(temp));
        try (Checkpoint checkpoint = Checkpoint.open(temp)) {
            assertEquals(List.of("a"), checkpoint.names());
        }
        assertFails(SafetensorsException.class, () -> CheckpointWriter.write(temp, List.of(source("b", 4), source("c", 4), source("b", 4)), 4, 12),
                "tensor \"b\": is given twice");
        assertFails(IllegalArgumentException.class, () -> CheckpointWriter.write(temp, List.of(), 0, 0), "maxShardBytes is 0");
    }

    private static TensorSource source(String name, int bytes) {
        return new TensorSource(name, DType.U8, Shape.of(bytes), sink -> sink.write(MemorySegment.ofArray(new byte[bytes])));
    }

    @Test
    void aSingleFileNeedsNoIndex() throws IOException {
        Files.write(temp.resolve("model.safetensors"), SafetensorsFileTest.header(A, 2));
        TensorView view;
        try (Checkpoint checkpoint = Checkpoint.open(temp)) {
            view = checkpoint.get("a.weight");
            assertEquals("U8 [2]", view.toString());
            assertFails(SafetensorsException.class, () -> checkpoint.get("a.weigth"), temp + ": tensor \"a.weigth\": is not there; near it: \"a.weight\"");
        }
        assertThrows(IllegalStateException.class, view::toInts);
    }

    @Test
    void anIndexIsHeldToItsShards() throws IOException {
        Files.write(temp.resolve("s1.safetensors"), SafetensorsFileTest.header(A, 2));
        index("{\"weight_map\":{\"a.weigh\":\"s1.safetensors\"}}");
        refused(SafetensorsException.class, "s1.safetensors: tensor \"a.weigh\": is not there", "near it: \"a.weight\"");
        index("{\"weight_map\":{\"a.weight\":\"s2.safetensors\"}}");
        refused(SafetensorsException.class, "s2.safetensors: does not exist");
        for (String name : List.of("../s1.safetensors", "/etc/passwd", "x/s1.safetensors", "..", "", "c:s1", "x\\\\s1", ".hidden")) {
            index("{\"weight_map\":{\"a.weight\":\"" + name + "\"}}");
            refused(JsonFileException.class, "model.safetensors.index.json: weight_map.a.weight is \"" + name + "\", it must be the name of a file in the same folder");
        }
        index("{\"weight_map\":{\"a.weight\":1}}");
        refused(JsonFileException.class, "weight_map.a.weight is 1, it must be a string");
        index("{\"metadata\":{}}");
        refused(JsonFileException.class, "weight_map is missing, it must be an object");
        index("{\"weight_map\":{}}");
        try (Checkpoint checkpoint = Checkpoint.open(temp)) {
            assertEquals(List.of(), checkpoint.names());
        }
    }

    private void index(String json) throws IOException {
        Files.writeString(temp.resolve(Checkpoint.INDEX), json);
    }

    private void refused(Class<? extends Throwable> type, String... parts) {
        assertFails(type, () -> Checkpoint.open(temp), parts);
    }

    @Test
    void foldersWithoutSafetensorsAreRefused() throws IOException {
        refused(SafetensorsException.class, "has neither model.safetensors nor model.safetensors.index.json");
        Files.writeString(temp.resolve("pytorch_model.bin"), "");
        refused(SafetensorsException.class, "only as pytorch_model.bin", "convert it to model.safetensors first");
        assertFails(SafetensorsException.class, () -> Checkpoint.open(temp.resolve("none")), "does not exist");
        assertFails(SafetensorsException.class, () -> Checkpoint.open(temp.resolve("pytorch_model.bin")), "is a file, it must be a model's folder");
    }
}
