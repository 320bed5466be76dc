package jqlora.ops.cuda;

import java.lang.foreign.MemorySegment;
import org.bytedeco.javacpp.Pointer;

/** An address as the presets' methods take it, set anew for each call, so that none is made in a step. */
final class Address extends Pointer {
    Address() {
        super((Pointer) null);
    }

    Address(long address) {
        this();
        at(address);
    }

    Address at(long address) {
        this.address = address;
        return this;
    }

    Address at(MemorySegment memory) {
        return at(memory.address());
    }
}
