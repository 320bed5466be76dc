package jqlora.tensor;

import java.io.IOException;
import java.lang.foreign.MemorySegment;

/** Takes the next bytes of a tensor; they may be reused after the call. */
@FunctionalInterface
public interface ByteSink {
    void write(MemorySegment bytes) throws IOException;
}
