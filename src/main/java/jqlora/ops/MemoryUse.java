package jqlora.ops;

/**
 * A backend's memory.
 *
 * @param bytesInUse bytes of the tensors that are not closed
 * @param peakBytes the most bytes in use at once since the last {@link Ops#resetPeak}
 * @param reservedBytes bytes taken from the system, freed ones kept for reuse included
 */
public record MemoryUse(long bytesInUse, long peakBytes, long reservedBytes) { }
