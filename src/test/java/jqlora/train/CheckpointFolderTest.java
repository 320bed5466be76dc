package jqlora.train;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckpointFolderTest {
    @TempDir
    private Path folder;

    private CheckpointFolder checkpoints() {
        return new CheckpointFolder(folder.resolve("output"));
    }

    private static CheckpointFolder.Content content(String text) {
        return target -> Files.writeString(target.resolve("file"), text);
    }

    private List<String> names() throws IOException {
        return SmallRun.names(checkpoints().output());
    }

    @Test
    void nothingYet() throws IOException {
        assertEquals(Optional.empty(), checkpoints().latest());
        assertEquals(List.of(), checkpoints().all());
        checkpoints().removePartial();
        assertEquals(false, Files.exists(checkpoints().output()), "looking makes no folder");
    }

    /** By number, not by name; the oldest go. */
    @Test
    void theNewestStay() throws IOException {
        for (int step : new int[] {8, 9, 10, 11}) {
            assertEquals(checkpoints().output().resolve("checkpoint-" + step), checkpoints().write(step, 3, content("step " + step)));
        }
        assertEquals(List.of("checkpoint-10", "checkpoint-11", "checkpoint-9"), names());
        assertEquals("checkpoint-11", checkpoints().latest().orElseThrow().getFileName().toString());
        assertEquals(List.of(9, 10, 11), checkpoints().all().stream().map(path -> Integer.parseInt(path.getFileName().toString().substring(11))).toList());
        assertEquals("step 10", Files.readString(checkpoints().output().resolve("checkpoint-10/file")));
    }

    /** A limit that is now smaller takes several away at once. */
    @Test
    void aSmallerLimit() throws IOException {
        for (int step = 1; step <= 4; step++) {
            checkpoints().write(step, 9, content(""));
        }
        checkpoints().write(5, 2, content(""));
        assertEquals(List.of("checkpoint-4", "checkpoint-5"), names());
    }

    @Test
    void aCheckpointThatFailsLeavesTheOthersAndIsNone() throws IOException {
        checkpoints().write(1, 1, content("first"));
        assertFails(IOException.class, () -> checkpoints().write(2, 1, target -> {
            Files.writeString(target.resolve("file"), "half");
            throw new IOException("disk full");
        }), "disk full");
        assertEquals("checkpoint-1", checkpoints().latest().orElseThrow().getFileName().toString());
        checkpoints().removePartial();
        assertEquals(List.of("checkpoint-1"), names());
        checkpoints().write(2, 1, content("second"));
        assertEquals(List.of("checkpoint-2"), names());
    }

    @Test
    void theSameStepAgainReplaces() throws IOException {
        checkpoints().write(1, 1, content("first"));
        checkpoints().write(1, 1, content("again"));
        assertEquals("again", Files.readString(checkpoints().output().resolve("checkpoint-1/file")));
        assertEquals(List.of("checkpoint-1"), names());
    }

    /** Folders of the user's own, such as a copy with a date, are neither read nor removed. */
    @Test
    void otherFoldersAreLeftAlone() throws IOException {
        List<String> others = List.of("checkpoint-20261122093000", "checkpoint-1-copy", "checkpoint-", "checkpoint--1", "my-checkpoint-9", "runs");
        for (String name : others) {
            Files.createDirectories(checkpoints().output().resolve(name));
        }
        checkpoints().write(1, 1, content(""));
        checkpoints().write(2, 1, content(""));
        checkpoints().removePartial();
        assertEquals(List.of("checkpoint-2"), checkpoints().all().stream().map(path -> path.getFileName().toString()).toList());
        assertEquals(others.size() + 1, names().size());
    }
}
