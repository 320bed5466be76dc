package jqlora.model;

/** Hears of each tensor of a checkpoint as it is loaded. */
@FunctionalInterface
public interface LoadListener {
    /** Hears nothing. */
    LoadListener SILENT = progress -> { };

    /**
     * @param tensor name of the tensor that is now loaded
     * @param bytesRead of the checkpoint so far
     * @param bytesTotal of the checkpoint
     * @param seconds since the load began
     */
    record Progress(String tensor, long bytesRead, long bytesTotal, double seconds) {
        /** Such as {@code model.layers.3.mlp.up_proj.weight, 61 % of 0.27 GB, 1.20 GB/s}. */
        @Override
        public String toString() {
            return String.format(java.util.Locale.ROOT, "%s, %d %% of %.2f GB, %.2f GB/s", tensor, 100 * bytesRead / Math.max(1, bytesTotal),
                    bytesTotal / 1e9, bytesRead / 1e9 / Math.max(seconds, 1e-9));
        }
    }

    void loaded(Progress progress);
}
