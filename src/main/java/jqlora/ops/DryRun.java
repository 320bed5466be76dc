package jqlora.ops;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.quant.Absmax;
import jqlora.tensor.ByteSink;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/** What a {@link Rehearsal} does in place of each operation. */
final class DryRun implements Ops {
    private static final int NO_TARGET = -100;

    private final MemoryAccount account;
    private final List<Counted> leaving = new ArrayList<>();

    DryRun(MemoryAccount account) {
        this.account = account;
    }

    /** A tensor without elements. */
    private final class Counted implements Tensor {
        private final DType dtype;
        private final Shape shape;
        private MemoryAccount.Block block;
        private long onHost;

        Counted(DType dtype, Shape shape) {
            this(dtype, shape, account.take(dtype, shape));
        }

        Counted(DType dtype, Shape shape, MemoryAccount.Block block) {
            this.dtype = dtype;
            this.shape = shape;
            this.block = block;
        }

        @Override
        public DType dtype() {
            return dtype;
        }

        @Override
        public Shape shape() {
            return shape;
        }

        @Override
        public void close() {
            if (onHost > 0) {
                settle();
                account.moveToHost(-onHost);
                onHost = 0;
            }
            free();
        }

        private void free() {
            if (block != null) {
                account.giveBack(block);
                block = null;
            }
        }

        private void leave() {
            onHost = block.bytes();
            account.moveToHost(onHost);
            leaving.add(this);
        }

        private void comeBack() {
            account.moveToHost(-onHost);
            onHost = 0;
            block = account.take(dtype, shape);
        }
    }

    @Override
    public String name() {
        return account.name();
    }

    @Override
    public String description() {
        return "a rehearsal of " + account.name();
    }

    @Override
    public DType computeType() {
        return account.computeType();
    }

    @Override
    public MemoryUse memory() {
        return account.use();
    }

    @Override
    public void resetPeak() {
        account.resetPeak();
    }

    @Override
    public Rehearsal rehearsal() {
        return new Rehearsal(account.copy());
    }

    @Override
    public void close() { }

    // ---- memory

    @Override
    public Tensor allocate(DType dtype, long... dims) {
        return new Counted(dtype, Shape.of(dims));
    }

    private Tensor activation(long... dims) {
        return allocate(account.computeType(), dims);
    }

    private static long rows(Tensor matrix) {
        return matrix.shape().dim(0);
    }

    @Override
    public Tensor upload(TensorView host) {
        return new Counted(host.dtype(), host.shape(), account.takeUploaded(host.dtype(), host.shape()));
    }

    @Override
    public Tensor upload(int[] values) {
        return allocate(DType.I32, values.length);
    }

    @Override
    public Weight.FourBit upload(QuantizedTensor host) {
        return fourBit(host.format().withDoubleQuantization(host.absmax() instanceof Absmax.Nested), host.shape());
    }

    @Override
    public Weight.FourBit quantize(TensorView host, FourBitFormat format) {
        return account.quantize(host.dtype(), host.shape(), () -> fourBit(format, host.shape()));
    }

    private Weight.FourBit fourBit(FourBitFormat format, Shape shape) {
        long elements = shape.size(), blocks = format.blocks(elements);
        boolean nested = format.doubleQuantization();
        return new Weight.FourBit(format, shape, allocate(DType.U8, Math.ceilDiv(elements, 2L)),
                allocate(nested ? DType.U8 : DType.F32, blocks),
                nested ? allocate(DType.F32, format.nestedBlocks(elements)) : null, 0f);
    }

    /** @throws UnsupportedOperationException always: there is nothing */
    @Override
    public TensorView download(Tensor tensor) {
        throw new UnsupportedOperationException("rehearsal: there are no elements to download of " + tensor.dtype() + " " + tensor.shape());
    }

    /** @throws UnsupportedOperationException always: there is nothing */
    @Override
    public void download(Tensor tensor, ByteSink sink) {
        download(tensor);
    }

    @Override
    public Weight merge(String layer, Weight base, LoraFactors factors, MergedStorage storage) {
        return switch (storage) {
            case MergedStorage.Numbers(DType dtype) ->
                    new Weight.Dense(Parameter.frozen(layer + ".weight", new Counted(dtype, base.shape())));
            case MergedStorage.Nearest(FourBitFormat format) -> fourBit(format, base.shape());
            case MergedStorage.Stochastic stochastic -> fourBit(stochastic.format(), base.shape());
        };
    }

    @Override
    public Tensor toFloat(Weight weight) {
        return new Counted(DType.F32, weight.shape());
    }

    @Override
    public void offload(List<Tensor> tensors) {
        if (account.isApartFromHost()) {
            settle();
            tensors.forEach(tensor -> ((Counted) tensor).leave());
        }
    }

    @Override
    public void fetch(List<Tensor> tensors) {
        if (account.isApartFromHost()) {
            settle();
            tensors.stream().map(Counted.class::cast).filter(tensor -> tensor.onHost > 0).forEach(Counted::comeBack);
        }
    }

    private void settle() {
        leaving.forEach(Counted::free);
        leaving.clear();
    }

    @Override
    public void copyInto(Tensor target, Tensor source) { }

    @Override
    public void fillZero(Tensor tensor) { }

    @Override
    public void addInPlace(Tensor x, float factor, Tensor y) { }

    // ---- embedding and normalisation

    @Override
    public Tensor embedding(Tensor table, Tensor ids, int first, float scale) {
        return activation(ids.shape().size(), table.shape().dim(1));
    }

    @Override
    public void embeddingBackward(Tensor dTable, Tensor dY, Tensor ids, int first, float scale) { }

    @Override
    public Tensor compute(Input input) {
        return activation(rows(input.x()), input.columns());
    }

    @Override
    public void computeBackward(Tensor dX, Tensor dY, Input input) { }

    // ---- linear layers

    @Override
    public Tensor linear(Link link, Tensor added, Dropout dropout) {
        long rows = rows(link.input().x());
        try (Tensor made = link.input() instanceof Input.Kept ? null : compute(link.input())) {
            return account.linear(rows, link.group(), link.group().isDropped(dropout), () -> activation(rows, link.group().outFeatures()));
        }
    }

    @Override
    public void linearBackward(Tensor dX, Tensor dY, List<Link> chain, Dropout dropout) {
        account.linearBackward(rows(dY), chain, dropout, dX != null);
    }

    // ---- attention

    @Override
    public Tensor heads(Tensor fused, Heads heads, Tensor rstd) {
        return heads.isInPlace() ? fused : new Counted(account.computeType(), fused.shape());
    }

    @Override
    public Tensor headsBackward(Tensor dQkv, Tensor fused, Heads heads, Tensor rstd) {
        return heads.order() == HeadOrder.SEPARATE ? dQkv : new Counted(account.computeType(), dQkv.shape());
    }

    @Override
    public Tensor attention(Tensor qkv, AttentionShape shape, Sequences sequences, Tensor logSumExp) {
        Tensor y = activation(rows(qkv), shape.queryColumns());
        account.attention(shape, sequences, false);
        return y;
    }

    @Override
    public void attentionBackward(Tensor dQkv, Tensor dY, Tensor qkv, Tensor y, Tensor logSumExp, AttentionShape shape,
            Sequences sequences) {
        account.attention(shape, sequences, true);
    }

    @Override
    public Tensor cachedAttention(Tensor qkv, AttentionShape shape, Sequences sequences, KvCache cache, int layer) {
        return attention(qkv, shape, sequences, null);
    }

    @Override
    public Tensor cachedAttention(Tensor qkv, AttentionShape shape, Tensor positions, KvCache cache, int layer) {
        return activation(rows(qkv), shape.queryColumns());
    }

    @Override
    public void nextTokens(Tensor ids, Tensor positions, Tensor logits, Sampler sampler, Tensor uniform) { }

    // ---- loss and optimizer

    @Override
    public Tensor scores(Tensor x, OutputHead head) {
        LinearGroup group = LinearGroup.of(head.weights());
        try (Tensor inner = group.rank() == 0 ? null : activation(rows(x), group.rank())) {
            return account.linear(rows(x), group, false, () -> activation(rows(x), group.outFeatures()));
        }
    }

    @Override
    public void headLoss(Tensor x, OutputHead head, int[] targets, double scale, Tensor lossSum, Tensor dX) {
        account.headLoss((int) Arrays.stream(targets).filter(target -> target != NO_TARGET).count(), head, dX != null);
    }

    @Override
    public void gradientNorm(List<Parameter> parameters, Tensor norm) { }

    @Override
    public void adamW(List<AdamWState> states, AdamWStep step, Tensor norm) {
        update(states.stream().map(AdamWState::tensors).toList());
    }

    @Override
    public void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm) {
        update(states.stream().map(AdamW8bitState::tensors).toList());
    }

    private void update(List<List<Tensor>> moments) {
        if (moments.stream().flatMap(List::stream).anyMatch(tensor -> tensor instanceof Counted moment && moment.onHost > 0)) {
            settle();
            account.adamWOffloaded();
        }
    }

    @Override
    public void zeroGradients(List<Parameter> parameters) { }
}
