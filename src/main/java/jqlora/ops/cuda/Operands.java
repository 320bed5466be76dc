package jqlora.ops.cuda;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.ops.cuda.Matmul.Mat;
import jqlora.tensor.DType;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;

/**
 * The weights of a group of linear layers as one bfloat16 matrix, {@code [W | sB]} over {@code [A]}, so that a product with it takes the adapters along:
 *
 * <pre>
 *             ins     padded
 *   outs   [   W    |   sB   ]     y  = [x | x A^T] [W | sB]^T
 *   padded [   A    |        ]     dx = [dy | dy sB] [W ; A]
 * </pre>
 *
 * The adapters of a group share the padded columns side by side, so sB is block-diagonal. A is written in bfloat16 and sB is scaled once, here.
 * 4-bit weights are decoded into one of two buffers, the next group's on a second stream while this group's product runs; which group is next is
 * what came after these two the last time. Some may stay decoded, up to a number of bytes.
 */
final class Operands implements AutoCloseable {
    private static final int TILE = 64, NARROW_TILE = 8, WIDE_FROM = 1024;

    /**
     * A group's matrix, valid until {@link #release}.
     *
     * @param rank columns of the adapters together; 0 without
     * @param padded columns that they take
     */
    record Operand(Mat all, long outs, long ins, int rank, int padded, Buffer buffer) {
        /** [outs, ins + padded] */
        Mat weightAndB() {
            return all.rows(0, outs).columns(0, ins + padded);
        }

        /** [outs, ins] */
        Mat weight() {
            return all.rows(0, outs).columns(0, ins);
        }

        /** [outs + padded, ins] */
        Mat weightOverA() {
            return all.rows(0, outs + padded).columns(0, ins);
        }

        /** [padded, ins] */
        Mat a() {
            return all.rows(outs, padded).columns(0, ins);
        }

        /** [outs, padded] */
        Mat b() {
            return all.rows(0, outs).columns(ins, padded);
        }
    }

    /** What tells a group from others: its tensors, by identity. */
    private record Key(List<CudaTensor> codes, int padded) {
        boolean isClosed() {
            for (CudaTensor tensor : codes) {
                if (tensor.address() == 0) {
                    return true;
                }
            }
            return false;
        }
    }

    private record Pair(Key before, Key last) { }

    private record Next(Key key, List<LinearWeights> group) { }

    /** Memory for one operand. */
    private final class Buffer {
        private final CUevent_st decoded = device.newEvent(), used = device.newEvent();
        private long address, size;
        private Key holds;
        private boolean ahead, apart;

        void make(long bytes) {
            if (size < bytes) {
                free();
                address = memory.take(bytes);
                size = bytes;
            }
        }

        /** Memory of its own; false if the budget leaves none. */
        boolean makeApart(long bytes) {
            address = memory.takeApart(bytes);
            apart = address != 0;
            size = apart ? bytes : 0;
            return apart;
        }

        void free() {
            if (size > 0 && apart) {
                memory.giveBackApart(address);
            } else if (size > 0) {
                arrived();
                memory.giveBack(address);
            }
            size = 0;
            holds = null;
        }

        /** Lets the computing stream wait for what the other one writes. */
        void arrived() {
            if (ahead) {
                device.await(decoded, device.stream());
                ahead = false;
            }
        }

        void close() {
            free();
            device.destroy(decoded);
            device.destroy(used);
        }
    }

    private final CudaDevice device;
    private final DeviceMemory memory;
    private final Kernels kernels;
    private final FourBitDecoder fourBit;
    private final Buffer[] buffers;
    private final Map<Key, Buffer> resident = new LinkedHashMap<>();
    private final Map<Pair, Next> successors = new HashMap<>();
    private Pair recent = new Pair(null, null);
    private Buffer current;
    private long residentBytes, taken;

    /** @param residentBytes the most that resident weights take; they give it back when memory is short */
    Operands(CudaDevice device, DeviceMemory memory, Kernels kernels, FourBitDecoder fourBit, long residentBytes) {
        this.device = device;
        this.memory = memory;
        this.kernels = kernels;
        this.fourBit = fourBit;
        this.residentBytes = residentBytes;
        this.buffers = new Buffer[] {new Buffer(), new Buffer()};
        memory.onShortage(this::giveOneBack);
    }

    /** Gives back the eldest resident group that is not in use; no other takes its place. */
    private boolean giveOneBack() {
        if (forgetClosed()) {
            return true;
        }
        for (Map.Entry<Key, Buffer> entry : resident.entrySet()) {
            if (entry.getValue() != current) {
                taken -= entry.getValue().size;
                residentBytes = taken;
                entry.getValue().close();
                resident.remove(entry.getKey());
                return true;
            }
        }
        return false;
    }

    static int rank(List<LinearWeights> group) {
        int rank = 0;
        for (LinearWeights linear : group) {
            rank += linear.lora() == null ? 0 : (int) linear.lora().r();
        }
        return rank;
    }

    /** Columns that the adapters of a group take behind a row: whole tiles of the products. */
    static int padded(List<LinearWeights> group) {
        int tile = group.getFirst().weight().inFeatures() >= WIDE_FROM ? TILE : NARROW_TILE;
        return Math.ceilDiv(rank(group), tile) * tile;
    }

    /** Of one of the two buffers. */
    long bufferAddress(int index) {
        return buffers[index].address;
    }

    long bufferBytes(int index) {
        return buffers[index].size;
    }

    /** The group's matrix; {@link #release} must follow when the products with it are on the stream. */
    Operand acquire(List<LinearWeights> group) {
        int rank = rank(group), padded = padded(group);
        long ins = group.getFirst().weight().inFeatures(), outs = 0;
        for (LinearWeights linear : group) {
            outs += linear.weight().outFeatures();
        }
        if (group.size() == 1 && rank == 0 && group.getFirst().weight() instanceof Weight.Dense(Parameter parameter) && parameter.value().dtype() == DType.BF16) {
            return new Operand(Mat.of(CudaTensor.of(parameter.value())), outs, ins, 0, 0, null);
        }
        device.crosses();
        long stride = CudaTensor.strideFor(ins + padded);
        Key key = key(group, padded);
        Buffer buffer = buffer(key, group, outs, stride, padded);
        buffer.arrived();
        current = buffer;
        long beside = buffer.address + 2 * ins, below = buffer.address + 2 * outs * stride;
        if (rank > 0) {
            writeAdapters(group, beside, below, stride, padded, rank);
        }
        if (key != null) {
            Next known = successors.get(recent);
            if (known == null || !known.key.equals(key)) {
                successors.put(recent, new Next(key, List.copyOf(group)));
            }
            recent = new Pair(recent.last, key);
        }
        return new Operand(Mat.of(buffer.address, stride, outs + padded, ins + padded), outs, ins, rank, padded, buffer);
    }

    /** The products with {@code operand} are on the stream: its buffer may be filled anew after them, and the next one may be decoded meanwhile. */
    void release(Operand operand) {
        if (operand.buffer == null) {
            return;
        }
        device.record(operand.buffer.used, device.stream());
        current = null;
        Next next = successors.get(recent);
        if (next == null || next.key.isClosed() || resident.containsKey(next.key) || buffers[0].holds != null && buffers[0].holds.equals(next.key)
                || buffers[1].holds != null && buffers[1].holds.equals(next.key)) {
            return;
        }
        Buffer other = operand.buffer == buffers[0] ? buffers[1] : buffers[0];
        long ins = next.group.getFirst().weight().inFeatures(), stride = CudaTensor.strideFor(ins + next.key.padded), outs = 0;
        for (LinearWeights linear : next.group) {
            outs += linear.weight().outFeatures();
        }
        if (other.size < 2 * stride * (outs + next.key.padded)) {
            return;                                               // grown by acquire, which happens once
        }
        device.await(other.used, device.decodeStream());
        write(next.group, other, stride, device.decodeStream());
        device.record(other.decoded, device.decodeStream());
        other.holds = next.key;
        other.ahead = true;
    }

    /** Null unless all of the group is in 4 bits: other weights may change. */
    private static Key key(List<LinearWeights> group, int padded) {
        List<CudaTensor> codes = new ArrayList<>(group.size());
        for (LinearWeights linear : group) {
            if (!(linear.weight() instanceof Weight.FourBit weight)) {
                return null;
            }
            codes.add(CudaTensor.of(weight.codes()));
        }
        return new Key(codes, padded);
    }

    private Buffer buffer(Key key, List<LinearWeights> group, long outs, long stride, int padded) {
        long bytes = 2 * stride * (outs + padded);
        if (key != null) {
            for (Buffer buffer : buffers) {
                if (key.equals(buffer.holds)) {
                    return buffer;
                }
            }
            Buffer stays = resident.get(key);
            if (stays != null) {
                return stays;
            }
            if (taken + bytes <= residentBytes || forgetClosed() && taken + bytes <= residentBytes) {
                Buffer made = new Buffer();
                if (made.makeApart(bytes) || forgetClosed() && made.makeApart(bytes)) {
                    taken += bytes;
                    resident.put(key, made);
                    write(group, made, stride, device.stream());
                    return made;
                }
                made.close();
                residentBytes = taken;
            }
        }
        Buffer buffer = recent.last != null && recent.last.equals(buffers[0].holds) ? buffers[1] : buffers[0];
        buffer.arrived();
        buffer.make(bytes);
        write(group, buffer, stride, device.stream());
        buffer.holds = key;
        return buffer;
    }

    /** Gives back the decoded weights of models that are closed; whether there were any. */
    private boolean forgetClosed() {
        long before = taken;
        for (Iterator<Map.Entry<Key, Buffer>> entries = resident.entrySet().iterator(); entries.hasNext(); ) {
            Map.Entry<Key, Buffer> entry = entries.next();
            if (entry.getKey().isClosed()) {
                taken -= entry.getValue().size;
                entry.getValue().close();
                entries.remove();
            }
        }
        successors.values().removeIf(next -> next.key.isClosed());
        successors.keySet().removeIf(pair -> pair.last != null && pair.last.isClosed());
        return taken < before;
    }

    private void write(List<LinearWeights> group, Buffer buffer, long stride, CUstream_st stream) {
        long at = buffer.address;
        for (LinearWeights linear : group) {
            switch (linear.weight()) {
                case Weight.FourBit weight -> fourBit.decode(weight, at, stride, stream);
                case Weight.Dense(Parameter parameter) -> {
                    CudaTensor value = CudaTensor.of(parameter.value());
                    kernels.get("linear", "dense_operand").number(at).number(stride).address(value).number(value.stride()).integer(value.rows()).integer(value.columns())
                            .integer(value.type()).on(stream).launch(Math.ceilDiv(value.columns(), 8L * 128), (int) Math.min(value.rows(), 32_768), 128, 1);
                }
            }
            at += 2 * stride * linear.weight().outFeatures();
        }
    }

    private void writeAdapters(List<LinearWeights> group, long beside, long below, long stride, int padded, int rank) {
        int column = 0, left = group.size();
        for (LinearWeights linear : group) {
            LoraFactors lora = linear.lora();
            int r = lora == null ? 0 : (int) lora.r();
            long outs = linear.weight().outFeatures(), ins = linear.weight().inFeatures();
            int zeroRows = --left == 0 ? padded - rank : 0;
            kernels.get("linear", "adapter_operand").number(beside).number(below).number(stride).address(lora == null ? null : lora.a().value())
                    .address(lora == null ? null : lora.b().value()).real(lora == null ? 0f : lora.scaling()).integer(outs).integer(ins).integer(r).integer(column)
                    .integer(padded).integer(zeroRows).launchFor(outs * padded + (r + zeroRows) * ins);
            beside += 2 * stride * outs;
            below += 2 * stride * r;
            column += r;
        }
    }

    @Override
    public void close() {
        device.synchronize();
        List<Buffer> all = new ArrayList<>(List.of(buffers));
        all.addAll(resident.values());
        all.forEach(Buffer::close);
        resident.clear();
        successors.clear();
    }
}
