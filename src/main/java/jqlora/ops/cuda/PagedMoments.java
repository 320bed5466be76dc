package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.cuMemcpyDtoHAsync;
import static org.bytedeco.cuda.global.cudart.cuMemcpyHtoDAsync;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import jqlora.ops.cuda.CudaOptimizer.Update;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;

/**
 * AdamW where the moments, in 32 or 8 bits, lie in the host's memory: they pass through two windows on the device in turn, one being updated while the next
 * one comes and the one before goes back. Since the windows are nobody else's, the first ones come while the backward is still computed.
 */
final class PagedMoments implements AutoCloseable {
    /** Bytes of the device that both windows take. */
    static final long STAGING = 64L << 20;
    private static final int WINDOWS = 2;
    /** Elements of parameters whose moments a window holds at most: moments in 32 bits fill it. */
    private static final long WINDOW = STAGING / WINDOWS / (2 * Float.BYTES);

    /** A part of a parameter, whose first element is its {@code from}-th; {@code at} elements lie before it in its window. */
    private record Piece(Moments moments, long from, long elements, long at) { }

    /** What follows each other here and there: one copy. */
    private record Run(long host, long at, long bytes) {
        boolean isFollowedBy(Run run) {
            return run.host == host + bytes && run.at == at + bytes;
        }
    }

    private final CudaDevice device;
    private final DeviceMemory memory;
    private final PartTables tables;
    private final HostTensors host;
    private final CUevent_st come, updated;
    private final CUevent_st[] gone = new CUevent_st[WINDOWS];
    private final Address address = new Address();
    private long staging;

    PagedMoments(CudaDevice device, DeviceMemory memory, PartTables tables, HostTensors host) {
        this.device = device;
        this.memory = memory;
        this.tables = tables;
        this.host = host;
        come = device.newEvent();
        updated = device.newEvent();
        Arrays.setAll(gone, window -> device.newEvent());
    }

    /** @param all moments in the host's memory, in tensors as {@code layout} has them */
    void update(MomentLayout layout, List<Moments> all, Update update) {
        CUstream_st in = host.arrivals(), out = host.departures();
        if (staging == 0) {
            staging = memory.take(STAGING);
            device.record(updated, device.stream());              // what was given to the stream before may still use that memory
            device.await(updated, in);
        }
        List<List<Piece>> windows = windows(layout, all);
        long table = tables.address(fields(layout, windows));
        for (int i = 0; i < windows.size(); i++) {
            List<Piece> pieces = windows.get(i);
            List<Run> runs = runs(layout, pieces);
            long window = window(i);
            device.await(gone[i % WINDOWS], in);
            for (Run run : runs) {
                CudaDevice.check("cuMemcpyHtoDAsync", cuMemcpyHtoDAsync(window + run.at, address.at(run.host), run.bytes, in));
            }
            device.record(come, in);
            device.await(come, device.stream());
            update.launch(table, pieces.size());
            device.record(updated, device.stream());
            device.await(updated, out);
            for (Run run : runs) {
                CudaDevice.check("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync(address.at(run.host), window + run.at, run.bytes, out));
            }
            device.record(gone[i % WINDOWS], out);
            table += (long) Long.BYTES * layout.fields() * pieces.size();
        }
        for (CUevent_st event : gone) {
            device.await(event, device.stream());                 // whoever brings the moments back begins after what this stream was given
            device.await(event, in);
        }
    }

    private long window(int number) {
        return staging + number % WINDOWS * (STAGING / WINDOWS);
    }

    /** Where a column of a window has what belongs to the element after {@code elements} others: the columns lie one after the other. */
    private static long at(MomentLayout layout, int column, long elements) {
        long before = 0;
        for (int i = 0; i < column; i++) {
            before += layout.columns().get(i).bytes(WINDOW);
        }
        return before + layout.columns().get(column).bytes(elements);
    }

    /** The parts that the kernel's blocks take, in windows. */
    private static List<List<Piece>> windows(MomentLayout layout, List<Moments> all) {
        List<List<Piece>> windows = new ArrayList<>(List.of(new ArrayList<>()));
        long at = 0;
        for (Moments moments : all) {
            for (long from = 0; from < moments.elements(); from += layout.part()) {
                long elements = Math.min(layout.part(), moments.elements() - from);
                if (at + elements > WINDOW) {
                    windows.add(new ArrayList<>());
                    at = 0;
                }
                windows.getLast().add(new Piece(moments, from, elements, at));
                at += Math.ceilDiv(elements, MomentLayout.ALIGNMENT) * MomentLayout.ALIGNMENT;
            }
        }
        return windows;
    }

    /** A part's bytes lie in one piece of the host's memory, whose size is a multiple of a whole part's in every column. */
    private static List<Run> runs(MomentLayout layout, List<Piece> pieces) {
        List<Run> runs = new ArrayList<>();
        for (int i = 0; i < layout.columns().size(); i++) {
            MomentLayout.Column column = layout.columns().get(i);
            for (Piece piece : pieces) {
                long[] places = ((CudaTensor) piece.moments.tensors().get(i)).place().pieces();
                long from = column.bytes(piece.from);
                Run run = new Run(places[(int) (from / PinnedMemory.PIECE)] + from % PinnedMemory.PIECE, at(layout, i, piece.at), column.bytes(piece.elements));
                if (!runs.isEmpty() && runs.getLast().isFollowedBy(run)) {
                    Run last = runs.removeLast();
                    run = new Run(last.host, last.at, last.bytes + run.bytes);
                }
                runs.add(run);
            }
        }
        return runs;
    }

    private long[] fields(MomentLayout layout, List<List<Piece>> windows) {
        long[] fields = new long[layout.fields() * windows.stream().mapToInt(List::size).sum()];
        int at = 0;
        for (int i = 0; i < windows.size(); i++) {
            for (Piece piece : windows.get(i)) {
                fields[at++] = CudaTensor.address(piece.moments.parameter().value()) + Float.BYTES * piece.from;
                fields[at++] = CudaTensor.address(piece.moments.parameter().gradient()) + Float.BYTES * piece.from;
                for (int column = 0; column < layout.columns().size(); column++) {
                    fields[at++] = window(i) + at(layout, column, piece.at);
                }
                fields[at++] = piece.elements;
            }
        }
        return fields;
    }

    @Override
    public void close() {
        if (staging != 0) {
            memory.giveBack(staging);
        }
        device.destroy(come);
        device.destroy(updated);
        for (CUevent_st event : gone) {
            device.destroy(event);
        }
    }
}
