package jqlora.ops.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.List;

/**
 * NVIDIA's run-time compiler. It is called without the presets, whose binding of it needs the driver: compiling needs no GPU.
 *
 * @see <a href="https://docs.nvidia.com/cuda/nvrtc/">NVRTC</a>
 */
final class Nvrtc {
    private static final String NAME_OF_COMMON = "common.cuh";

    private final SymbolLookup library;

    private Nvrtc(SymbolLookup library) {
        this.library = library;
    }

    /** @throws CudaException if it is not there */
    static Nvrtc open(CudaLibraries libraries) {
        return new Nvrtc(libraries.openNvrtc());
    }

    /**
     * Machine code for one architecture.
     *
     * @param log what the compiler and, with {@code --ptxas-options=-v}, the assembler said
     */
    record Compiled(byte[] cubin, String log) { }

    /** Such as {@code 13.0}. */
    String version() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment numbers = arena.allocate(JAVA_INT, 2);
            check("nvrtcVersion", call("nvrtcVersion", numbers, numbers.asSlice(4)), "");
            return numbers.getAtIndex(JAVA_INT, 0) + "." + numbers.getAtIndex(JAVA_INT, 1);
        }
    }

    /**
     * Compiles {@code source}, which may include {@code common.cuh}.
     *
     * @throws CudaException with the compiler's messages if it does not compile
     */
    Compiled compile(KernelSource source, List<String> options) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment handle = arena.allocate(ADDRESS);
            check("nvrtcCreateProgram", call("nvrtcCreateProgram", handle, arena.allocateFrom(source.text()), arena.allocateFrom(source.name() + ".cu"), 1,
                    strings(arena, List.of(source.common())), strings(arena, List.of(NAME_OF_COMMON))), source.name());
            MemorySegment program = handle.get(ADDRESS, 0);
            try {
                int code = call("nvrtcCompileProgram", program, options.size(), strings(arena, options));
                byte[] log = bytes(arena, program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
                String text = new String(log, 0, Math.max(0, log.length - 1), java.nio.charset.StandardCharsets.UTF_8).strip();
                check("nvrtcCompileProgram", code, source.name() + ".cu " + String.join(" ", options) + "\n" + text);
                return new Compiled(bytes(arena, program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN"), text);
            } finally {
                call("nvrtcDestroyProgram", handle);
            }
        }
    }

    private static MemorySegment strings(Arena arena, List<String> texts) {
        MemorySegment pointers = arena.allocate(ADDRESS, Math.max(1, texts.size()));
        for (int i = 0; i < texts.size(); i++) {
            pointers.setAtIndex(ADDRESS, i, arena.allocateFrom(texts.get(i)));
        }
        return pointers;
    }

    private byte[] bytes(Arena arena, MemorySegment program, String sizeCall, String call) {
        MemorySegment size = arena.allocate(JAVA_LONG);
        check(sizeCall, call(sizeCall, program, size), "");
        MemorySegment bytes = arena.allocate(Math.max(1, size.get(JAVA_LONG, 0)));
        check(call, call(call, program, bytes), "");
        return bytes.asSlice(0, size.get(JAVA_LONG, 0)).toArray(JAVA_BYTE);
    }

    /** Calls a function whose arguments are pointers and ints, and whose result is a status. */
    @SuppressWarnings("restricted")
    private int call(String function, Object... arguments) {
        MemoryLayout[] layouts = new MemoryLayout[arguments.length];
        for (int i = 0; i < arguments.length; i++) {
            layouts[i] = arguments[i] instanceof Integer ? JAVA_INT : ADDRESS;
        }
        MethodHandle handle = Linker.nativeLinker().downcallHandle(library.findOrThrow(function), FunctionDescriptor.of(JAVA_INT, layouts));
        try {
            return (int) handle.invokeWithArguments(arguments);
        } catch (Throwable impossible) {
            throw new AssertionError(function + " throws nothing", impossible);
        }
    }

    @SuppressWarnings("restricted")
    private void check(String call, int code, String text) {
        if (code != 0) {
            MethodHandle name = Linker.nativeLinker().downcallHandle(library.findOrThrow("nvrtcGetErrorString"), FunctionDescriptor.of(ADDRESS, JAVA_INT));
            try {
                throw CudaException.of(call, code, ((MemorySegment) name.invoke(code)).reinterpret(256).getString(0), text);
            } catch (CudaException failed) {
                throw failed;
            } catch (Throwable impossible) {
                throw new AssertionError("nvrtcGetErrorString throws nothing", impossible);
            }
        }
    }
}
