package jqlora.ops.cuda;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import jqlora.ops.AttentionShape;
import jqlora.ops.Dropout;
import jqlora.ops.DropoutMask;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.Link;
import jqlora.ops.MemoryAccount;
import jqlora.ops.MemoryUse;
import jqlora.ops.OutputHead;
import jqlora.ops.Parameter;
import jqlora.ops.Sequences;
import jqlora.ops.Weight;
import jqlora.ops.cuda.OperandLayout.Form;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;

/**
 * What operations on a GPU take, with the gaps that their order leaves: blocks are taken from a copy of {@link DeviceMemory}'s, in the order in which the
 * operations take theirs. Weights that may stay decoded are not counted, since they give way.
 */
final class CudaAccount implements MemoryAccount {
    private final FreeBlocks blocks;
    private final long limit;
    private final Attention attention;
    private final Scratch[] scratch;
    private final boolean fp8;
    private Key last;
    private long end, range, inUse, peak, onHost, mostOnHost;
    private int room;
    private boolean staged;

    private record Key(List<Tensor> codes, Form form) { }

    /** A buffer for decoded weights. */
    private static final class Scratch {
        private long address, size;
        private Key holds;

        Scratch(long address, long size) {
            this.address = address;
            this.size = size;
        }

        Scratch copy() {
            return new Scratch(address, size);
        }
    }

    /** What attention takes on its way; see {@link CudaAttention#needs}. */
    interface Attention {
        CudaAttention.Needs needs(AttentionShape shape, Sequences sequences, int room, boolean backward);
    }

    /** @param end the address after the range that {@code blocks} are in, of which {@code range} bytes are taken */
    private CudaAccount(FreeBlocks blocks, long end, long range, MemoryUse now, Attention attention, boolean fp8, int room, Scratch... scratch) {
        this.blocks = blocks;
        this.end = end;
        this.range = range;
        this.limit = now.limitBytes();
        this.inUse = now.bytesInUse();
        this.peak = inUse;
        this.mostOnHost = now.hostBytes();
        this.attention = attention;
        this.fp8 = fp8;
        this.room = room;
        this.scratch = scratch;
    }

    /** @param fp8 whether products are in FP8
     * @param room behind the rows of matrices that adapters have needed so far */
    static CudaAccount of(DeviceMemory memory, long hostBytes, Operands operands, Attention attention, boolean fp8, int room) {
        return new CudaAccount(memory.blocks().copy(), memory.end(), memory.rangeBytes(), memory.use(hostBytes), attention, fp8, room,
                new Scratch(operands.bufferAddress(0), operands.bufferBytes(0)), new Scratch(operands.bufferAddress(1), operands.bufferBytes(1)));
    }

    /** An account of a device of which nothing is taken but what products work in. */
    static CudaAccount ofEmpty(long limit, Attention attention) {
        CudaAccount account = new CudaAccount(new FreeBlocks(), 0, 0, new MemoryUse(0, 0, 0, limit, 0), attention, false, 0, new Scratch(0, 0), new Scratch(0, 0));
        account.take(Matmul.WORKSPACE);
        return account;
    }

    @Override
    public CudaAccount copy() {
        CudaAccount copy = new CudaAccount(blocks.copy(), end, range, use(), attention, fp8, room, scratch[0].copy(), scratch[1].copy());
        copy.onHost = onHost;
        copy.staged = staged;
        return copy;
    }

    @Override
    public String name() {
        return "cuda";
    }

    @Override
    public DType computeType() {
        return DType.BF16;
    }

    @Override
    public MemoryUse use() {
        return new MemoryUse(inUse, peak, range, limit, mostOnHost);
    }

    @Override
    public void resetPeak() {
        peak = inUse;
    }

    private long take(long bytes) {
        long address = blocks.take(bytes);
        if (address < 0) {
            long wanted = Math.ceilDiv(FreeBlocks.sizeFor(bytes) - blocks.freeBefore(end), DeviceMemory.GROWTH) * DeviceMemory.GROWTH;
            blocks.addFree(end, wanted);
            end += wanted;
            range += wanted;
            address = blocks.take(bytes);
        }
        return address;
    }

    @Override
    public Block take(DType dtype, Shape shape) {
        return counted(CudaTensor.bytes(dtype, shape, room));
    }

    @Override
    public Block takeUploaded(DType dtype, Shape shape) {
        return counted(CudaTensor.bytes(dtype, shape, 0));
    }

    private Block counted(long bytes) {
        inUse += bytes;
        peak = Math.max(peak, inUse);
        return new Block(take(bytes), bytes);
    }

    @Override
    public void giveBack(Block block) {
        blocks.giveBack(block.address());
        inUse -= block.bytes();
    }

    @Override
    public boolean isApartFromHost() {
        return true;
    }

    @Override
    public void moveToHost(long bytes) {
        onHost += bytes;
        mostOnHost = Math.max(mostOnHost, Math.ceilDiv(onHost, PinnedMemory.SLAB) * PinnedMemory.SLAB);
    }

    // ---- on the way

    /** What an operation takes until it is done. */
    private final class Way implements AutoCloseable {
        private final List<Block> taken = new ArrayList<>();

        Way matrix(long rows, long columns) {
            return tensor(DType.BF16, rows, columns);
        }

        Way floats(long... dims) {
            return tensor(DType.F32, dims);
        }

        Way tensor(DType dtype, long... dims) {
            taken.add(take(dtype, Shape.of(dims)));
            return this;
        }

        @Override
        public void close() {
            taken.reversed().forEach(CudaAccount.this::giveBack);
        }
    }

    /** As {@link Operands} chooses a buffer and lets it grow. */
    private void decode(LinearGroup group, boolean backward) {
        Form form = isInFp8(group) ? backward ? Form.E4M3_TRANSPOSED : Form.E4M3 : Form.BF16;
        OperandLayout layout = OperandLayout.of(group, form);
        if (form == Form.BF16) {
            room = Math.max(room, layout.padded());
        }
        if (group.layers().size() == 1 && layout.rank() == 0 && group.layers().getFirst().weight() instanceof Weight.Dense(Parameter parameter) && parameter.value().dtype() == DType.BF16) {
            return;
        }
        List<Tensor> codes = new ArrayList<>();
        for (LinearWeights linear : group.layers()) {
            codes.add(linear.weight() instanceof Weight.FourBit packed ? packed.codes() : null);
        }
        Key key = codes.contains(null) ? null : new Key(codes, form);
        if (key == null || !key.equals(scratch[0].holds) && !key.equals(scratch[1].holds)) {
            Scratch buffer = last != null && last.equals(scratch[0].holds) ? scratch[1] : scratch[0];
            if (buffer.size < layout.bytes()) {
                if (buffer.size > 0) {
                    blocks.giveBack(buffer.address);
                }
                buffer.address = take(layout.bytes());
                buffer.size = layout.bytes();
            }
            buffer.holds = key;
        }
        last = key == null ? last : key;
    }

    private boolean isInFp8(LinearGroup group) {
        return fp8 && Fp8Weights.take(group);
    }

    /** The numbers are on the device while they are encoded. */
    @Override
    public Weight.FourBit quantize(DType dtype, Shape shape, Supplier<Weight.FourBit> result) {
        long numbers = take(dtype.byteSize(shape.size()));
        Weight.FourBit weight = result.get();
        blocks.giveBack(numbers);
        return weight;
    }

    @Override
    public Tensor linear(long rows, LinearGroup group, boolean dropped, Supplier<Tensor> result) {
        decode(group, false);
        Tensor y = result.get();
        try (Way way = new Way()) {
            if (isInFp8(group)) {
                way.tensor(DType.U8, rows * group.inFeatures());          // x in e4m3, made here or with x
            }
            if (dropped && !inGroups(group)) {
                way.matrix(rows, group.inFeatures());
            }
        }
        return y;
    }

    /** Whether dropout needs no copy of what adapters read. */
    private static boolean inGroups(LinearGroup group) {
        return group.inFeatures() % DropoutMask.GROUP == 0;
    }

    @Override
    public void linearBackward(long rows, List<Link> chain, Dropout dropout, boolean inputWanted) {
        GatedChain gated = GatedChain.of(chain);
        if (gated == null || !CudaMlp.takes(gated, dropout, this::isInFp8)) {
            MemoryAccount.super.linearBackward(rows, chain, dropout, inputWanted);
            return;
        }
        LinearGroup down = gated.down().group();
        try (Way way = new Way()) {
            way.matrix(rows, down.inFeatures());
            decode(down, true);
            new Way().floats(CudaMlp.floatsOfSums(rows, gated), 1).close();
            way.floats(down.outFeatures(), down.rank());
        }
        linearBackward(rows, gated.gateUp(), false, true);
    }

    @Override
    public void linearBackward(long rows, Link link, boolean dropped, boolean inputWanted) {
        try (Way way = new Way()) {
            if (!(link.input() instanceof Input.Kept)) {
                way.matrix(rows, link.group().inFeatures());
            }
            linearBackward(rows, link.group(), dropped, inputWanted);
            if (fp8 && link.input() instanceof Input.Gated) {
                way.tensor(DType.U8, 2 * rows * link.group().inFeatures());      // the gradients of gates and ups in e4m3
            }
        }
    }

    private void linearBackward(long rows, LinearGroup group, boolean dropped, boolean inputWanted) {
        long rank = group.rank();
        if (!inputWanted && rank == 0) {
            return;
        }
        decode(group, true);
        try (Way way = new Way()) {
            if (isInFp8(group)) {
                way.matrix(rows, rank).tensor(DType.U8, rows * group.outFeatures());
            }
            if (dropped && inputWanted) {
                way.tensor(DType.U8, CudaDropout.bytesOfDrops(rows * group.inFeatures(), group));
            }
            if (dropped && inGroups(group)) {
                way.floats(group.outFeatures(), rank).floats(CudaDropout.floatsOfSums(group, rows));
            } else if (dropped) {
                way.floats(group.outFeatures(), rank).matrix(rows, group.inFeatures());
            } else if (rank > 0) {
                way.floats(rank, group.inFeatures()).floats(group.outFeatures(), rank);
            }
        }
    }

    @Override
    public void attention(AttentionShape shape, Sequences sequences, boolean backward) {
        CudaAttention.Needs needs = attention.needs(shape, sequences, room, backward);
        try (Way way = new Way()) {
            if (backward) {
                way.floats(needs.delta()).floats(Math.max(1, needs.sum()));
            }
            blocks.giveBack(take(Math.max(1, needs.workspace())));
        }
    }

    @Override
    public void headLoss(int labelled, OutputHead head, boolean inputWanted) {
        if (labelled == 0) {
            return;
        }
        LinearGroup group = LinearGroup.of(head.weights());
        int rows = CudaLoss.chunkRows(labelled, group.outFeatures());
        try (Way way = new Way().tensor(DType.F64, labelled).tensor(DType.I32, rows).tensor(DType.I32, rows).matrix(rows, group.inFeatures())) {
            if (group.rank() > 0) {
                way.matrix(rows, group.rank());
            }
            decode(group, false);
            way.matrix(rows, group.outFeatures());
            if (inputWanted) {
                way.matrix(rows, group.inFeatures());
                linearBackward(rows, group, false, true);
            }
        }
    }

    @Override
    public void adamWOffloaded() {
        if (!staged) {
            take(PagedMoments.STAGING);
            staged = true;
        }
    }
}
