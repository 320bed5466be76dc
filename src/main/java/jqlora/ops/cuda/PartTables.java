package jqlora.ops.cuda;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The tables of optimizer.cu on the device. One that has been asked for before is there still; of many the first goes. */
final class PartTables implements AutoCloseable {
    private static final int KEPT = 8;

    private record Table(long[] fields, long address) { }

    private final DeviceMemory memory;
    private final Transfers transfers;
    private final List<Table> tables = new ArrayList<>();

    PartTables(DeviceMemory memory, Transfers transfers) {
        this.memory = memory;
        this.transfers = transfers;
    }

    /** The address of {@code fields}, which the caller no longer changes. */
    long address(long[] fields) {
        for (Table table : tables) {
            if (Arrays.equals(table.fields, fields)) {
                return table.address;
            }
        }
        if (tables.size() == KEPT) {
            memory.giveBack(tables.removeFirst().address);
        }
        Table table = new Table(fields, memory.take(Math.max(8, 8L * fields.length)));
        transfers.upload(fields, table.address);
        tables.add(table);
        return table.address;
    }

    @Override
    public void close() {
        tables.forEach(table -> memory.giveBack(table.address));
        tables.clear();
    }
}
