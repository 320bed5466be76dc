package jqlora.ops.cpu;

import java.io.IOException;
import java.util.List;
import jqlora.ops.AdamW8bitState;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.AttentionShape;
import jqlora.ops.Dropout;
import jqlora.ops.Heads;
import jqlora.ops.Input;
import jqlora.ops.KvCache;
import jqlora.ops.Link;
import jqlora.ops.LoraFactors;
import jqlora.ops.MemoryUse;
import jqlora.ops.MergedStorage;
import jqlora.ops.Ops;
import jqlora.ops.OutputHead;
import jqlora.ops.Parameter;
import jqlora.ops.Rehearsal;
import jqlora.ops.Sequences;
import jqlora.ops.Weight;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.ByteSink;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * The parts of {@link Ops} on the processor, put together: float32 activations in memory outside the Java heap, 4-bit weights decoded
 * while a product reads them.
 */
final class CpuBackend implements Ops {
    private final CpuStage stage;
    private final CpuEmbedding embeddings;
    private final CpuInputs inputs;
    private final CpuHeads heads;
    private final CpuAttention attention;
    private final CpuLoss loss;
    private final CpuOptimizer optimizer;
    private final CpuMerge merge;

    CpuBackend(CpuStage stage) {
        this.stage = stage;
        embeddings = new CpuEmbedding(stage);
        CpuLinear linear = new CpuLinear(stage);
        CpuNorm norms = new CpuNorm(stage);
        inputs = new CpuInputs(stage, linear, norms, new CpuActivations(stage));
        heads = new CpuHeads(stage, norms);
        attention = new CpuAttention(stage);
        loss = new CpuLoss(stage, linear);
        optimizer = new CpuOptimizer(stage);
        merge = new CpuMerge(stage, stage.codec());
    }

    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public String description() {
        return stage.product().description();
    }

    @Override
    public int threads() {
        return stage.workers().size();
    }

    @Override
    public MemoryUse memory() {
        return stage.pool().use();
    }

    @Override
    public void resetPeak() {
        stage.pool().resetPeak();
    }

    @Override
    public Rehearsal rehearsal() {
        return new Rehearsal(new CpuAccount(stage.pool().use()));
    }

    @Override
    public void close() {
        stage.close();
    }

    // ---- tensors

    @Override
    public DType computeType() {
        return stage.computeType();
    }

    @Override
    public Tensor allocate(DType dtype, long... dims) {
        return stage.allocate(dtype, dims);
    }

    @Override
    public Tensor upload(TensorView host) {
        return stage.upload(host);
    }

    @Override
    public Tensor upload(int[] values) {
        return stage.upload(values);
    }

    @Override
    public Weight.FourBit quantize(TensorView host, FourBitFormat format) {
        return stage.quantize(host, format);
    }

    @Override
    public TensorView download(Tensor tensor) {
        return stage.download(tensor);
    }

    @Override
    public void download(Tensor tensor, ByteSink sink) throws IOException {
        stage.download(tensor, sink);
    }

    @Override
    public Tensor toFloat(Weight weight) {
        return stage.toFloat(weight);
    }

    @Override
    public void copyInto(Tensor target, Tensor source) {
        stage.copyInto(target, source);
    }

    @Override
    public void fillZero(Tensor tensor) {
        stage.fillZero(tensor);
    }

    @Override
    public void addInPlace(Tensor x, float factor, Tensor y) {
        stage.addInPlace(x, factor, y);
    }

    @Override
    public Weight merge(String layer, Weight base, LoraFactors factors, MergedStorage storage) {
        return merge.merge(layer, base, factors, storage);
    }

    // ---- embedding

    @Override
    public Tensor embedding(Tensor table, Tensor ids, int first, float scale) {
        return embeddings.forward(table, ids, first, scale);
    }

    @Override
    public void embeddingBackward(Tensor dTable, Tensor dY, Tensor ids, int first, float scale) {
        embeddings.backward(dTable, dY, ids, first, scale);
    }

    // ---- layers

    @Override
    public Tensor compute(Input input) {
        return inputs.compute(input);
    }

    @Override
    public void computeBackward(Tensor dX, Tensor dY, Input input) {
        inputs.backward(dX, dY, input);
    }

    @Override
    public Tensor linear(Link link, Tensor added, Dropout dropout) {
        return inputs.linear(link, added, dropout);
    }

    @Override
    public void linearBackward(Tensor dX, Tensor dY, List<Link> chain, Dropout dropout) {
        inputs.linearBackward(dX, dY, chain, dropout);
    }

    @Override
    public Tensor heads(Tensor fused, Heads heads, Tensor rstd) {
        return this.heads.forward(fused, heads, rstd);
    }

    @Override
    public Tensor headsBackward(Tensor dQkv, Tensor fused, Heads heads, Tensor rstd) {
        return this.heads.backward(dQkv, fused, heads, rstd);
    }

    @Override
    public Tensor attention(Tensor qkv, AttentionShape shape, Sequences sequences, Tensor logSumExp) {
        return attention.forward(qkv, shape, sequences, logSumExp);
    }

    @Override
    public void attentionBackward(Tensor dQkv, Tensor dY, Tensor qkv, Tensor y, Tensor logSumExp, AttentionShape shape,
            Sequences sequences) {
        attention.backward(dQkv, dY, qkv, y, logSumExp, shape, sequences);
    }

    @Override
    public Tensor cachedAttention(Tensor qkv, AttentionShape shape, Sequences sequences, KvCache cache, int layer) {
        return attention.cached(qkv, shape, sequences, cache, layer);
    }

    // ---- loss and optimizer

    @Override
    public Tensor scores(Tensor x, OutputHead head) {
        return loss.scores(x, head);
    }

    @Override
    public void headLoss(Tensor x, OutputHead head, int[] targets, double scale, Tensor lossSum, Tensor dX) {
        loss.headLoss(x, head, targets, scale, lossSum, dX);
    }

    @Override
    public void gradientNorm(List<Parameter> parameters, Tensor norm) {
        optimizer.gradientNorm(parameters, norm);
    }

    @Override
    public void adamW(List<AdamWState> states, AdamWStep step, Tensor norm) {
        optimizer.adamW(states, step, norm);
    }

    @Override
    public void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm) {
        optimizer.adamW8bit(states, step, norm);
    }

    @Override
    public void zeroGradients(List<Parameter> parameters) {
        optimizer.zeroGradients(parameters);
    }
}
