package jqlora.ops.cuda;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.ops.cuda.Matmul.Mat;
import jqlora.ops.cuda.OperandLayout.Form;
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
 * what came after these two the last time. Some may stay decoded, up to a number of bytes. For products in FP8 the weights are decoded by {@link Fp8Weights},
 * once for the forward and once for the backward, and the adapters lie behind them.
 */
final class Operands implements AutoCloseable {
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

    /**
     * A group's weights in e4m3 and its adapters in bfloat16, valid until {@link #release}.
     *
     * @param weight [outs, ins], or transposed
     * @param scales address of F32, one for each row of {@code weight}
     * @param a [rank, ins]; b [outs, rank], scaled
     */
    record Eights(Mat weight, long scales, Mat a, Mat b, int rank, Buffer buffer) { }

    /** What tells a group from others: its tensors, by identity. */
    private record Key(List<CudaTensor> codes, OperandLayout layout) {
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

    private record Next(Key key, LinearGroup group) { }

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
    private final Fp8Weights eights;
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
        this.eights = new Fp8Weights(device, memory, kernels, fourBit);
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

    /** Of one of the two buffers. */
    long bufferAddress(int index) {
        return buffers[index].address;
    }

    long bufferBytes(int index) {
        return buffers[index].size;
    }

    /** The group's matrix; {@link #release} must follow when the products with it are on the stream. */
    Operand acquire(LinearGroup group) {
        OperandLayout layout = OperandLayout.of(group, Form.BF16);
        if (group.layers().size() == 1 && layout.rank() == 0 && group.layers().getFirst().weight() instanceof Weight.Dense(Parameter parameter) && parameter.value().dtype() == DType.BF16) {
            return new Operand(Mat.of(CudaTensor.of(parameter.value())), layout.outs(), layout.ins(), 0, 0, null);
        }
        Buffer buffer = filled(group, layout);
        Mat all = Mat.of(buffer.address, layout.stride(), layout.outs() + layout.padded(), layout.ins() + layout.padded());
        return new Operand(all, layout.outs(), layout.ins(), layout.rank(), layout.padded(), buffer);
    }

    /** The group's weights in e4m3, for which {@link Fp8Weights#take} must hold; {@link #release} must follow. */
    Eights acquireEights(LinearGroup group, boolean transposed) {
        OperandLayout layout = OperandLayout.of(group, transposed ? Form.E4M3_TRANSPOSED : Form.E4M3);
        Buffer buffer = filled(group, layout);
        Fp8Weights.Scales scales = eights.scales(key(group, layout).codes, group, layout.outs(), layout.ins());
        return new Eights(transposed ? Mat.eights(buffer.address, layout.ins(), layout.outs()) : Mat.eights(buffer.address, layout.outs(), layout.ins()),
                transposed ? scales.ofColumns() : scales.ofRows(), Mat.of(buffer.address + layout.a(), layout.aStride(), layout.rank(), layout.ins()),
                Mat.of(buffer.address + layout.b(), layout.padded(), layout.outs(), layout.rank()), layout.rank(), buffer);
    }

    private Buffer filled(LinearGroup group, OperandLayout layout) {
        device.crosses();
        Key key = key(group, layout);
        Buffer buffer = buffer(key, group, layout);
        buffer.arrived();
        current = buffer;
        if (layout.rank() > 0) {
            writeAdapters(group, buffer.address, layout);
        }
        if (key != null) {
            Next known = successors.get(recent);
            if (known == null || !known.key.equals(key)) {
                successors.put(recent, new Next(key, group));
            }
            recent = new Pair(recent.last, key);
        }
        return buffer;
    }

    /** The products with what lies in {@code buffer} are on the stream: it may be filled anew after them, and the next one may be decoded meanwhile. */
    void release(Buffer buffer) {
        if (buffer == null) {
            return;
        }
        device.record(buffer.used, device.stream());
        current = null;
        Next next = successors.get(recent);
        if (next == null || next.key.isClosed() || resident.containsKey(next.key) || buffers[0].holds != null && buffers[0].holds.equals(next.key)
                || buffers[1].holds != null && buffers[1].holds.equals(next.key)) {
            return;
        }
        Buffer other = buffer == buffers[0] ? buffers[1] : buffers[0];
        if (other.size < next.key.layout.bytes()) {
            return;                                               // grown by acquire, which happens once
        }
        device.await(other.used, device.decodeStream());
        write(next.group, next.key, next.key.layout, other, device.decodeStream());
        device.record(other.decoded, device.decodeStream());
        other.holds = next.key;
        other.ahead = true;
    }

    /** Null unless all of the group is in 4 bits: other weights may change. */
    private static Key key(LinearGroup group, OperandLayout layout) {
        List<CudaTensor> codes = new ArrayList<>(group.layers().size());
        for (LinearWeights linear : group.layers()) {
            if (!(linear.weight() instanceof Weight.FourBit weight)) {
                return null;
            }
            codes.add(CudaTensor.of(weight.codes()));
        }
        return new Key(codes, layout);
    }

    private Buffer buffer(Key key, LinearGroup group, OperandLayout layout) {
        long bytes = layout.bytes();
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
                    write(group, key, layout, made, device.stream());
                    return made;
                }
                made.close();
                residentBytes = taken;
            }
        }
        Buffer buffer = recent.last != null && recent.last.equals(buffers[0].holds) ? buffers[1] : buffers[0];
        buffer.arrived();
        buffer.make(bytes);
        write(group, key, layout, buffer, device.stream());
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
        eights.forgetClosed();
        successors.values().removeIf(next -> next.key.isClosed());
        successors.keySet().removeIf(pair -> pair.last != null && pair.last.isClosed());
        return taken < before;
    }

    private void write(LinearGroup group, Key key, OperandLayout layout, Buffer buffer, CUstream_st stream) {
        if (layout.form() != Form.BF16) {
            eights.decode(group, eights.scales(key.codes, group, layout.outs(), layout.ins()), layout.form() == Form.E4M3_TRANSPOSED, buffer.address, layout.outs(), stream);
            return;
        }
        long at = buffer.address, stride = layout.stride();
        for (LinearWeights linear : group.layers()) {
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

    private void writeAdapters(LinearGroup group, long address, OperandLayout layout) {
        long beside = address + layout.b(), below = address + layout.a();
        int column = 0, left = group.layers().size();
        for (LinearWeights linear : group.layers()) {
            LoraFactors lora = linear.lora();
            int r = lora == null ? 0 : (int) lora.r();
            long outs = linear.weight().outFeatures();
            int zeroRows = --left == 0 && layout.form() == Form.BF16 ? layout.padded() - layout.rank() : 0;
            kernels.get("linear", "adapter_operand").number(beside).number(layout.bStride()).number(below).number(layout.aStride()).address(lora == null ? null : lora.a().value())
                    .address(lora == null ? null : lora.b().value()).real(lora == null ? 0f : lora.scaling()).integer(outs).integer(layout.ins()).integer(r).integer(column)
                    .integer(layout.padded()).integer(zeroRows).launchFor(outs * (layout.padded() / 8) + (r + zeroRows) * Math.ceilDiv(layout.ins(), 8L));
            beside += 2 * layout.bStride() * outs;
            below += 2 * layout.aStride() * r;
            column += r;
        }
    }

    @Override
    public void close() {
        device.synchronize();
        List<Buffer> all = new ArrayList<>(List.of(buffers));
        all.addAll(resident.values());
        all.forEach(Buffer::close);
        eights.close();
        resident.clear();
        successors.clear();
    }
}
