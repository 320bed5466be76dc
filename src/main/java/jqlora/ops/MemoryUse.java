package jqlora.ops;

/**
 * A backend's memory.
 *
 * @param bytesInUse bytes of the tensors that are not closed
 * @param peakBytes the most bytes in use at once since the last {@link Ops#resetPeak}
 * @param reservedBytes bytes taken from the device or the system, freed ones kept for reuse and what operations keep for themselves included
 * @param limitBytes the most that may be reserved; {@link Long#MAX_VALUE} if only the system sets a limit
 * @param hostBytes bytes of the host's memory that are taken for what is moved off the device
 */
public record MemoryUse(long bytesInUse, long peakBytes, long reservedBytes, long limitBytes, long hostBytes) { }
