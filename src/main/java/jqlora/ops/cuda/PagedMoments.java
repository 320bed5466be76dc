package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.cuMemcpyDtoHAsync;
import static org.bytedeco.cuda.global.cudart.cuMemcpyHtoDAsync;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import jqlora.ops.AdamWState;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;

/**
 * AdamW where the moments lie in the host's memory: they pass through two windows on the device in turn, one being updated while the next one comes and the
 * one before goes back. Since the windows are nobody else's, the first ones come while the backward is still computed.
 */
final class PagedMoments implements AutoCloseable {
    /** Bytes of the device that both windows take. */
    static final long STAGING = 64L << 20;
    private static final long MOMENT = STAGING / 4;               // first and second moments of a window
    private static final int WINDOWS = 2, FIELDS = 5;

    /** Updates {@code parts} parts, whose table lies at {@code address}. */
    interface Update {
        void launch(long address, int parts);
    }

    /** A piece of a parameter's moments: where it lies in the host's memory and on the device, and its elements' place in the parameter. */
    private record Piece(AdamWState state, long first, long second, long at, long from, long elements) { }

    /** Pieces that follow each other here and there: one copy. */
    private record Run(long first, long second, long at, long bytes) {
        boolean isFollowedBy(Piece piece) {
            return piece.first == first + bytes && piece.second == second + bytes && piece.at == at + bytes;
        }
    }

    private final CudaDevice device;
    private final DeviceMemory memory;
    private final Transfers transfers;
    private final HostTensors host;
    private final CUevent_st come, updated;
    private final CUevent_st[] gone = new CUevent_st[WINDOWS];
    private final Address address = new Address();
    private long staging, table;
    private long[] fields = {};

    PagedMoments(CudaDevice device, DeviceMemory memory, Transfers transfers, HostTensors host) {
        this.device = device;
        this.memory = memory;
        this.transfers = transfers;
        this.host = host;
        come = device.newEvent();
        updated = device.newEvent();
        Arrays.setAll(gone, window -> device.newEvent());
    }

    /** Whether the moments of {@code state} are in the host's memory. */
    static boolean isPaged(AdamWState state) {
        HostTensors.Place place = ((CudaTensor) state.firstMoment()).place();
        return place != null && place.isAway();
    }

    /** @param states whose moments are all in the host's memory */
    void adamW(List<AdamWState> states, Update update) {
        CUstream_st in = host.arrivals(), out = host.departures();
        if (staging == 0) {
            staging = memory.take(STAGING);
            device.record(updated, device.stream());              // what was given to the stream before may still use that memory
            device.await(updated, in);
        }
        List<List<Piece>> windows = windows(states);
        uploadTable(windows);
        int first = 0;
        for (int i = 0; i < windows.size(); i++) {
            List<Piece> pieces = windows.get(i);
            long window = staging + i % WINDOWS * 2 * MOMENT;
            device.await(gone[i % WINDOWS], in);
            for (Run run : runs(pieces)) {
                CudaDevice.check("cuMemcpyHtoDAsync", cuMemcpyHtoDAsync(window + run.at, address.at(run.first), run.bytes, in));
                CudaDevice.check("cuMemcpyHtoDAsync", cuMemcpyHtoDAsync(window + MOMENT + run.at, address.at(run.second), run.bytes, in));
            }
            device.record(come, in);
            device.await(come, device.stream());
            update.launch(table + 8L * FIELDS * first, pieces.size());
            device.record(updated, device.stream());
            device.await(updated, out);
            for (Run run : runs(pieces)) {
                CudaDevice.check("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync(address.at(run.first), window + run.at, run.bytes, out));
                CudaDevice.check("cuMemcpyDtoHAsync", cuMemcpyDtoHAsync(address.at(run.second), window + MOMENT + run.at, run.bytes, out));
            }
            device.record(gone[i % WINDOWS], out);
            first += pieces.size();
        }
        for (CUevent_st event : gone) {
            device.await(event, device.stream());                 // whoever brings the moments back begins after what this stream was given
            device.await(event, in);
        }
    }

    /** Pieces of at most 65536 elements, as one block of the kernel takes them, in windows. */
    private static List<List<Piece>> windows(List<AdamWState> states) {
        List<List<Piece>> windows = new ArrayList<>(List.of(new ArrayList<>()));
        long at = 0;
        for (AdamWState state : states) {
            long size = state.parameter().value().shape().size();
            long[] firsts = ((CudaTensor) state.firstMoment()).place().pieces(), seconds = ((CudaTensor) state.secondMoment()).place().pieces();
            for (long from = 0; from < size; ) {
                long elements = Math.min(CudaOptimizer.PART, size - from), bytes = 4 * elements;
                if (at + bytes > MOMENT) {
                    windows.add(new ArrayList<>());
                    at = 0;
                }
                int piece = (int) (4 * from / PinnedMemory.PIECE);
                long within = 4 * from % PinnedMemory.PIECE;
                windows.getLast().add(new Piece(state, firsts[piece] + within, seconds[piece] + within, at, from, elements));
                at += Math.ceilDiv(bytes, 256L) * 256;
                from += elements;
            }
        }
        return windows;
    }

    private static List<Run> runs(List<Piece> pieces) {
        List<Run> runs = new ArrayList<>();
        for (Piece piece : pieces) {
            long bytes = 4 * piece.elements;
            if (!runs.isEmpty() && runs.getLast().isFollowedBy(piece)) {
                Run last = runs.removeLast();
                runs.add(new Run(last.first, last.second, last.at, last.bytes + bytes));
            } else {
                runs.add(new Run(piece.first, piece.second, piece.at, bytes));
            }
        }
        return runs;
    }

    private void uploadTable(List<List<Piece>> windows) {
        long[] wanted = new long[FIELDS * windows.stream().mapToInt(List::size).sum()];
        int at = 0;
        for (int i = 0; i < windows.size(); i++) {
            for (Piece piece : windows.get(i)) {
                long window = staging + i % WINDOWS * 2 * MOMENT;
                wanted[at++] = CudaTensor.address(piece.state.parameter().value()) + 4 * piece.from;
                wanted[at++] = CudaTensor.address(piece.state.parameter().gradient()) + 4 * piece.from;
                wanted[at++] = window + piece.at;
                wanted[at++] = window + MOMENT + piece.at;
                wanted[at++] = piece.elements;
            }
        }
        if (!Arrays.equals(wanted, fields)) {
            if (fields.length > 0) {
                memory.giveBack(table);
            }
            table = memory.take(8L * wanted.length);
            transfers.upload(wanted, table);
            fields = wanted;
        }
    }

    @Override
    public void close() {
        if (staging != 0) {
            memory.giveBack(staging);
            memory.giveBack(table);
        }
        device.destroy(come);
        device.destroy(updated);
        for (CUevent_st event : gone) {
            device.destroy(event);
        }
    }
}
