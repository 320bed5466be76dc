package jqlora.ops.cuda;

/** A call of a CUDA library failed; the message has the call, its code and the library's text. */
public final class CudaException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    CudaException(String message) {
        super(message);
    }

    /** Such as {@code cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory}. */
    static CudaException of(String call, int code, String name, String text) {
        return new CudaException(call + ": " + name + " (" + code + ")" + (text.isBlank() ? "" : ": " + text));
    }
}
