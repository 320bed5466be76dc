package jqlora.ops;

import java.io.IOException;
import java.util.List;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.ByteSink;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * Another {@link Ops}, whose arguments are checked here, in one place for every backend and for the dry run: a wrong one fails with the
 * same words everywhere, before anything is computed. {@link OpsArguments} has the checks.
 */
public interface CheckedOps extends Ops {
    /** What computes. */
    Ops unchecked();

    @Override
    default DType computeType() {
        return unchecked().computeType();
    }

    @Override
    default Tensor allocate(DType dtype, long... dims) {
        return unchecked().allocate(dtype, dims);
    }

    @Override
    default Tensor zeros(DType dtype, long... dims) {
        return unchecked().zeros(dtype, dims);
    }

    @Override
    default Tensor upload(TensorView host) {
        return unchecked().upload(host);
    }

    @Override
    default Tensor upload(int[] values) {
        return unchecked().upload(values);
    }

    @Override
    default Weight.FourBit upload(QuantizedTensor host) {
        return unchecked().upload(host);
    }

    @Override
    default Weight.FourBit quantize(TensorView host, FourBitFormat format) {
        OpsArguments.quantize(host);
        return unchecked().quantize(host, format);
    }

    @Override
    default TensorView download(Tensor tensor) {
        return unchecked().download(tensor);
    }

    @Override
    default QuantizedTensor download(Weight.FourBit weight) {
        return unchecked().download(weight);
    }

    @Override
    default void download(Tensor tensor, ByteSink sink) throws IOException {
        unchecked().download(tensor, sink);
    }

    @Override
    default Tensor toFloat(Weight weight) {
        return unchecked().toFloat(weight);
    }

    @Override
    default void copyInto(Tensor target, Tensor source) {
        OpsArguments.copyInto(target, source);
        unchecked().copyInto(target, source);
    }

    @Override
    default void fillZero(Tensor tensor) {
        unchecked().fillZero(tensor);
    }

    @Override
    default void offload(List<Tensor> tensors) {
        unchecked().offload(tensors);
    }

    @Override
    default void fetch(List<Tensor> tensors) {
        unchecked().fetch(tensors);
    }

    @Override
    default Tensor embedding(Tensor table, Tensor ids, int first, float scale) {
        OpsArguments.embedding(table, ids);
        return unchecked().embedding(table, ids, first, scale);
    }

    @Override
    default void embeddingBackward(Tensor dTable, Tensor dY, Tensor ids, int first, float scale) {
        OpsArguments.embeddingBackward(dTable, dY, ids);
        unchecked().embeddingBackward(dTable, dY, ids, first, scale);
    }

    @Override
    default void addInPlace(Tensor x, float factor, Tensor y) {
        OpsArguments.add(x, y, computeType());
        unchecked().addInPlace(x, factor, y);
    }

    @Override
    default Tensor compute(Input input) {
        OpsArguments.compute(input);
        return unchecked().compute(input);
    }

    @Override
    default void computeBackward(Tensor dX, Tensor dY, Input input) {
        OpsArguments.computeBackward(dX, dY, input);
        unchecked().computeBackward(dX, dY, input);
    }

    @Override
    default Tensor linear(Link link, Tensor added, Dropout dropout) {
        OpsArguments.linear(link, added);
        return unchecked().linear(link, added, dropout);
    }

    @Override
    default void linearBackward(Tensor dX, Tensor dY, List<Link> chain, Dropout dropout) {
        OpsArguments.linearBackward(dX, dY, chain);
        unchecked().linearBackward(dX, dY, chain, dropout);
    }

    @Override
    default Tensor heads(Tensor fused, Heads heads, Tensor rstd) {
        OpsArguments.heads(fused, heads, rstd);
        return unchecked().heads(fused, heads, rstd);
    }

    @Override
    default Tensor headsBackward(Tensor dQkv, Tensor fused, Heads heads, Tensor rstd) {
        OpsArguments.headsBackward(dQkv, fused, heads, rstd);
        return unchecked().headsBackward(dQkv, fused, heads, rstd);
    }

    @Override
    default Tensor attention(Tensor qkv, AttentionShape shape, Sequences sequences, Tensor logSumExp) {
        OpsArguments.attention(qkv, shape, sequences, logSumExp);
        return unchecked().attention(qkv, shape, sequences, logSumExp);
    }

    @Override
    default void attentionBackward(Tensor dQkv, Tensor dY, Tensor qkv, Tensor y, Tensor logSumExp, AttentionShape shape,
            Sequences sequences) {
        OpsArguments.attentionBackward(dQkv, dY, qkv, y, logSumExp, shape, sequences);
        unchecked().attentionBackward(dQkv, dY, qkv, y, logSumExp, shape, sequences);
    }

    @Override
    default Tensor scores(Tensor x, OutputHead head) {
        OpsArguments.scores(x, head);
        return unchecked().scores(x, head);
    }

    @Override
    default void headLoss(Tensor x, OutputHead head, int[] targets, double scale, Tensor lossSum, Tensor dX) {
        OpsArguments.headLoss(x, head, targets, lossSum, dX);
        unchecked().headLoss(x, head, targets, scale, lossSum, dX);
    }

    @Override
    default Tensor cachedAttention(Tensor qkv, AttentionShape shape, Sequences sequences, KvCache cache, int layer) {
        OpsArguments.cachedAttention(qkv, shape, sequences, cache, layer);
        return unchecked().cachedAttention(qkv, shape, sequences, cache, layer);
    }

    @Override
    default Tensor cachedAttention(Tensor qkv, AttentionShape shape, Tensor positions, KvCache cache, int layer) {
        OpsArguments.cachedAttention(qkv, shape, positions, cache, layer);
        return unchecked().cachedAttention(qkv, shape, positions, cache, layer);
    }

    @Override
    default void nextTokens(Tensor ids, Tensor positions, Tensor logits, Sampler sampler, Tensor uniform) {
        OpsArguments.nextTokens(ids, positions, logits, sampler, uniform);
        unchecked().nextTokens(ids, positions, logits, sampler, uniform);
    }

    @Override
    default Repetition repeat(int times, Tensor watched, Runnable operations) {
        return unchecked().repeat(times, watched, operations);
    }

    @Override
    default void gradientNorm(List<Parameter> parameters, Tensor norm) {
        OpsArguments.gradientNorm(parameters, norm);
        unchecked().gradientNorm(parameters, norm);
    }

    @Override
    default void adamW(List<AdamWState> states, AdamWStep step, Tensor norm) {
        OpsArguments.adamW(states, norm);
        unchecked().adamW(states, step, norm);
    }

    @Override
    default void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm) {
        OpsArguments.adamW8bit(states, norm);
        unchecked().adamW8bit(states, step, norm);
    }

    @Override
    default void zeroGradients(List<Parameter> parameters) {
        OpsArguments.zeroGradients(parameters);
        unchecked().zeroGradients(parameters);
    }

    @Override
    default Weight merge(String layer, Weight base, LoraFactors factors, MergedStorage storage) {
        OpsArguments.merge(base, factors);
        return unchecked().merge(layer, base, factors, storage);
    }

    @Override
    default String name() {
        return unchecked().name();
    }

    @Override
    default String description() {
        return unchecked().description();
    }

    @Override
    default int threads() {
        return unchecked().threads();
    }

    @Override
    default String arithmetic() {
        return unchecked().arithmetic();
    }

    @Override
    default MemoryUse memory() {
        return unchecked().memory();
    }

    @Override
    default void resetPeak() {
        unchecked().resetPeak();
    }

    @Override
    default Rehearsal rehearsal() {
        return unchecked().rehearsal();
    }

    @Override
    default void close() {
        unchecked().close();
    }
}
