package jqlora.ops.cuda;

import jqlora.ops.Sequences;

/** What kernels of attention read about the sequences of a batch, on the device; made once for a batch, since all layers have the same one. */
final class SequenceTables implements AutoCloseable {
    private final DeviceMemory memory;
    private final Transfers transfers;
    private Sequences sequences;
    private int cacheLength;
    private int[] bounds = new int[0];
    private long address;
    private int rows;

    SequenceTables(DeviceMemory memory, Transfers transfers) {
        this.memory = memory;
        this.transfers = transfers;
    }

    /**
     * The tables of {@code wanted}.
     *
     * @param wantedCacheLength rows of a sequence in the storage of keys and values; 0 where that is the batch itself
     */
    SequenceTables of(Sequences wanted, int wantedCacheLength) {
        if (!wanted.equals(sequences) || wantedCacheLength != cacheLength) {
            close();
            rows = wanted.rows();
            bounds = new int[4 * rows + wanted.count() + 1];
            for (int i = 0; i < wanted.count(); i++) {
                for (int row = wanted.start(i); row < wanted.start(i + 1); row++) {
                    int position = wanted.past(i) + row - wanted.start(i);
                    bounds[row] = wantedCacheLength == 0 ? wanted.start(i) : i * wantedCacheLength;
                    bounds[rows + row] = position + 1;
                    bounds[2 * rows + row] = wanted.start(i + 1);
                    bounds[3 * rows + row] = bounds[row] + position;
                }
                bounds[4 * rows + i] = wanted.length(i);
            }
            address = memory.take(4L * bounds.length);
            transfers.upload(bounds, address);
            sequences = wanted;
            cacheLength = wantedCacheLength;
        }
        return this;
    }

    /** I32 [rows]: the row of the storage that holds the first key of the row's sequence. */
    long firstKeys() {
        return address;
    }

    /** I32 [rows]: how many keys the row sees, a sliding window aside. */
    long keyCounts() {
        return address + 4L * rows;
    }

    /** I32 [rows]: the row after the last one of the row's sequence. */
    long ends() {
        return address + 8L * rows;
    }

    /** I32 [rows]: the row of the storage that is the row's own. */
    long ownKeys() {
        return address + 12L * rows;
    }

    /** I32 [sequences]. */
    long lengths() {
        return address + 16L * rows;
    }

    @Override
    public void close() {
        if (sequences != null) {
            memory.giveBack(address);
            sequences = null;
        }
    }
}
