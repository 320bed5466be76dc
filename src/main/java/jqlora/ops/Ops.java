package jqlora.ops;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import jqlora.quant.Absmax;
import jqlora.quant.DynamicMap;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.ByteSink;
import jqlora.tensor.DType;
import jqlora.tensor.Processors;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * The operations of a decoder on one device. Gradients are explicit, there is no tape: what a backward needs is passed to it, so the
 * caller decides what is kept and what is computed again. The same inputs give the same bits, call after call.
 *
 * <p>Every tensor that a method returns is new and belongs to the caller. Shapes: see the package. A backward says for each gradient
 * whether it is overwritten or added into; null for a gradient means that nobody wants it.
 *
 * <p>Arguments of another shape or type than the ones given fail with a {@link jqlora.tensor.ShapeException} or another
 * {@link IllegalArgumentException} before anything is computed; {@link OpsArguments} holds these checks.
 */
public interface Ops extends AutoCloseable {
    /** Such as {@code cpu}. */
    String name();

    /** What computes, for reports: such as {@code Vector API, 512 bits, 2 threads} or {@code NVIDIA H200 (sm_90)}. */
    String description();

    /** How many threads of the processor may work for this backend, as on a weight while it is loaded. */
    default int threads() {
        return Processors.ofProcess().threads();
    }

    /** The type of activations and their gradients. */
    DType computeType();

    /** The numbers that products read, for saved runs, which go on in the same ones: the compute type, and what is computed in others. */
    default String arithmetic() {
        return computeType().name();
    }

    MemoryUse memory();

    /** Makes the bytes now in use the peak. */
    void resetPeak();

    /** A twin of this backend that computes nothing and counts what it would take, beginning with what is in use now. */
    Rehearsal rehearsal();

    /** Frees the device's memory; no tensor of this backend may be used afterwards. */
    @Override
    void close();

    // ---- memory

    /** A tensor with undefined elements. */
    Tensor allocate(DType dtype, long... dims);

    default Tensor zeros(DType dtype, long... dims) {
        Tensor tensor = allocate(dtype, dims);
        fillZero(tensor);
        return tensor;
    }

    /** A copy of {@code host} with its dtype. */
    Tensor upload(TensorView host);

    /** A copy of {@code values}, I32. */
    Tensor upload(int[] values);

    /** A copy of a 4-bit tensor of rank 2. */
    default Weight.FourBit upload(QuantizedTensor host) {
        Weight.requireMatrix("4-bit weight", host.shape());
        Tensor codes = uploadBytes(host.codes(), DType.U8);
        return switch (host.absmax()) {
            case Absmax.Plain(var values) -> new Weight.FourBit(host.format(), host.shape(), codes, uploadBytes(values, DType.F32), null, 0f);
            case Absmax.Nested nested -> new Weight.FourBit(host.format(), host.shape(), codes, uploadBytes(nested.codes(), DType.U8),
                    uploadBytes(nested.scales(), DType.F32), nested.offset());
        };
    }

    private Tensor uploadBytes(MemorySegment bytes, DType dtype) {
        return upload(new TensorView(dtype, Shape.of(bytes.byteSize() / dtype.bytes()), bytes));
    }

    /**
     * {@code host} in 4 bits, with the codes and absmax values of {@link jqlora.quant.FourBitCodec#quantize}.
     *
     * @param host [outFeatures, inFeatures], F32, F16 or BF16
     */
    Weight.FourBit quantize(TensorView host, FourBitFormat format);

    /** A copy of {@code tensor} in host memory. */
    TensorView download(Tensor tensor);

    /** A copy of a 4-bit weight in host memory. */
    default QuantizedTensor download(Weight.FourBit weight) {
        MemorySegment codes = download(weight.codes()).data(), absmax = download(weight.absmax()).data();
        Absmax stored = weight.nestedAbsmax() == null ? new Absmax.Plain(absmax)
                : new Absmax.Nested(absmax, download(weight.nestedAbsmax()).data(), weight.offset(), DynamicMap.signed());
        return new QuantizedTensor(weight.format(), weight.shape(), codes, stored);
    }

    /** Hands the elements of {@code tensor} to {@code sink} in order, in pieces of whole elements that are valid during the call only: no copy of the whole is made. */
    void download(Tensor tensor, ByteSink sink) throws IOException;

    /** The elements as F32 [shape of the weight]: decoded, or converted. */
    Tensor toFloat(Weight weight);

    /**
     * The weight with an adapter's update in it: {@code W + scaling B A} in float32, the products summed over the rank in order by fused multiply-adds,
     * then scaled, then added to W as {@link #toFloat} gives it. Every backend gives the same bytes.
     *
     * @param layer its name, without {@code .weight}
     * @param base [outFeatures, inFeatures], read
     * @return new, the caller's; {@code base} stays as it is
     * @throws IllegalArgumentException if an element of the sum is not finite
     */
    Weight merge(String layer, Weight base, LoraFactors factors, MergedStorage storage);

    /** Overwrites {@code target} with {@code source}: same shape and dtype. */
    void copyInto(Tensor target, Tensor source);

    /** Overwrites {@code tensor} with zeros. */
    void fillZero(Tensor tensor);

    /**
     * Begins to move tensors to the host's memory, behind all that was called before. Their memory here is given back when they are there, at the next
     * call of this or of {@link #fetch} at the latest. Nothing may take them before {@code fetch} but {@link #adamW} and {@link #adamW8bit}, whose moments may
     * lie there. A backend that computes in the host's memory leaves them.
     */
    default void offload(List<Tensor> tensors) { }

    /** Begins to bring back what {@link #offload} moved, and leaves the others; what takes them waits until they are there. */
    default void fetch(List<Tensor> tensors) { }

    /** {@code x + y}, compute type. */
    Tensor add(Tensor x, Tensor y);

    /** {@code x += y}, compute type or F32. */
    void addInPlace(Tensor x, Tensor y);

    // ---- embedding

    /**
     * Rows of the table times {@code scale}, rounded once.
     *
     * @param table [vocab, hidden], F32, BF16 or F16
     * @param ids I32 [rows]
     * @return [rows, hidden]
     * @throws IllegalArgumentException if an id is outside the table, where the backend can tell without waiting for the device
     */
    Tensor embedding(Tensor table, Tensor ids, float scale);

    /** Rows of the table. */
    default Tensor embedding(Tensor table, Tensor ids) {
        return embedding(table, ids, 1f);
    }

    /**
     * @param dTable F32 [vocab, hidden], <em>added into</em>
     * @param scale as in the forward
     */
    void embeddingBackward(Tensor dTable, Tensor dY, Tensor ids, float scale);

    // ---- normalisation

    /**
     * Normalised rows.
     *
     * @param x [rows, hidden]
     * @param statistics F32, of the shape that {@link Norm#statistics} gives, overwritten
     * @return [rows, hidden]
     */
    Tensor norm(Tensor x, Norm norm, Tensor statistics);

    /** The result again, with {@code statistics} as {@link #norm} wrote them: the same bits. */
    Tensor normAgain(Tensor x, Norm norm, Tensor statistics);

    /**
     * The gradients of weights that are trained are added into.
     *
     * @param dX [rows, hidden], <em>added into</em>: x also feeds the residual stream
     * @param dY [rows, hidden], read
     */
    void normBackward(Tensor dX, Tensor dY, Tensor x, Norm norm, Tensor statistics);

    /**
     * RMS normalisation of each query and key head (Qwen3); values are copied.
     *
     * @param qkv [rows, qkv], read
     * @param qWeight [headDim]
     * @param kWeight [headDim]
     * @param rstd F32 [rows, qHeads + kvHeads], overwritten
     * @return [rows, qkv]
     */
    Tensor headNorm(Tensor qkv, AttentionShape shape, Tensor qWeight, Tensor kWeight, float eps, Tensor rstd);

    /**
     * @param dQkv [rows, qkv], read as the gradient of the result, overwritten with the gradient of {@code qkv}
     * @param qkv as it was before the normalisation
     */
    void headNormBackward(Tensor dQkv, Tensor qkv, AttentionShape shape, Parameter qWeight, Parameter kWeight, Tensor rstd);

    // ---- linear layers

    /**
     * Linear layers with one input, their results side by side: {@code y_i = W_i x + bias_i + scaling_i B_i A_i dropout_i(x)}.
     *
     * @param x [rows, inFeatures]
     * @param inner the compute type, [rows, sum of r over the group], overwritten with {@code A_i dropout_i(x)}, which the backward needs; null when
     *     no layer has an adapter
     * @param dropoutKey with the layer's module number and the element's index decides what dropout zeroes; 0 for no dropout
     * @return [rows, sum of outFeatures]
     */
    Tensor linear(Tensor x, List<LinearWeights> group, Tensor inner, long dropoutKey);

    /**
     * {@link #linear} plus {@code added}, as at the end of each half of a layer.
     *
     * @param added [rows, sum of outFeatures], read
     */
    Tensor linearAdd(Tensor added, Tensor x, List<LinearWeights> group, Tensor inner, long dropoutKey);

    /**
     * Gradients of all trained numbers of the group are added into.
     *
     * @param dX [rows, inFeatures], overwritten; null when nothing below is trained
     * @param dY [rows, sum of outFeatures], read
     * @param x as in the forward
     * @param inner as the forward wrote it
     * @param dropoutKey as in the forward
     */
    void linearBackward(Tensor dX, Tensor dY, Tensor x, List<LinearWeights> group, Tensor inner, long dropoutKey);

    /**
     * The backward of {@link #norm} and of the {@link #linear} that reads its result, which is made again in passing.
     *
     * @param dX [rows, inFeatures], <em>added into</em>, as in {@link #normBackward}; null when nothing below is trained
     * @param x what was normalised
     */
    void normedLinearBackward(Tensor dX, Tensor dY, Tensor x, Norm norm, Tensor statistics, List<LinearWeights> group, Tensor inner, long dropoutKey);

    // ---- attention

    /**
     * Rotates queries and keys by their positions, in place: of each head the coordinates from the front that the table has angles for.
     *
     * @param qkv [rows, qkv]
     * @param positions I32 [rows], below the table's positions
     */
    void ropeInPlace(Tensor qkv, AttentionShape shape, RopeTable table, Tensor positions);

    /** Rotates the gradients of queries and keys back, in place. */
    void ropeBackwardInPlace(Tensor dQkv, AttentionShape shape, RopeTable table, Tensor positions);

    /**
     * {@code softmax(scale Q K^T, causal) V} within each sequence.
     *
     * @param qkv [rows, qkv]
     * @param logSumExp F32 [rows, qHeads], overwritten: the logarithm of the softmax's denominator; null when there is no backward
     * @return [rows, qHeads headDim]
     * @see <a href="https://arxiv.org/abs/2307.08691">FlashAttention-2</a>
     */
    Tensor attention(Tensor qkv, AttentionShape shape, Sequences sequences, Tensor logSumExp);

    /**
     * @param dQkv [rows, qkv], overwritten
     * @param dY [rows, qHeads headDim], read
     * @param y as the forward returned it
     */
    void attentionBackward(Tensor dQkv, Tensor dY, Tensor qkv, Tensor y, Tensor logSumExp, AttentionShape shape, Sequences sequences);

    /**
     * Appends the keys and values of new tokens to the cache and lets the new queries attend to all.
     *
     * @param sequences the new tokens, and how many lie in the cache already
     * @param layer whose cache it is
     * @throws IllegalArgumentException if a sequence outgrows the cache
     */
    Tensor cachedAttention(Tensor qkv, AttentionShape shape, Sequences sequences, KvCache cache, int layer);

    /**
     * As {@link #cachedAttention(Tensor, AttentionShape, Sequences, KvCache, int)} for one new token a sequence, whose place need not be known to the host.
     *
     * @param qkv [sequences, qkv]
     * @param positions I32 [sequences]: how many tokens of each sequence lie in the cache
     */
    default Tensor cachedAttention(Tensor qkv, AttentionShape shape, Tensor positions, KvCache cache, int layer) {
        OpsArguments.cachedAttention(qkv, shape, positions, cache, layer);
        int[] past = download(positions).toInts(), one = new int[past.length];
        Arrays.fill(one, 1);
        return cachedAttention(qkv, shape, Sequences.continuing(one, past), cache, layer);
    }

    // ---- MLP

    /**
     * {@code activation(gate) up}.
     *
     * @param gateUp [rows, 2 intermediate]: all gates of a row, then all ups
     * @return [rows, intermediate]
     */
    Tensor gatedActivation(Tensor gateUp, Activation activation);

    /** @param dGateUp [rows, 2 intermediate], overwritten; may be gateUp */
    void gatedActivationBackward(Tensor dGateUp, Tensor dY, Tensor gateUp, Activation activation);

    /**
     * The backward of {@link #gatedActivation} and of the {@link #linear} that reads its result, which is made again in passing.
     *
     * @param dGateUp [rows, 2 intermediate], overwritten; may be gateUp
     * @param dY the gradient of the linear layers' result
     */
    void gatedLinearBackward(Tensor dGateUp, Tensor dY, Tensor gateUp, Activation activation, List<LinearWeights> group, Tensor inner, long dropoutKey);

    /**
     * The backward of the second half of a layer: {@link #gatedLinearBackward}, then {@link #normedLinearBackward}.
     *
     * @param dX [rows, hidden], read as the gradient of the layer's result, overwritten with that of x
     * @param x [rows, hidden], what was normalised
     * @param gateUp [rows, 2 intermediate], as in the forward; overwritten with its gradient
     */
    default void mlpBackward(Tensor dX, GatedMlp mlp, Tensor x, Tensor statistics, Tensor gateUpInner, Tensor gateUp, Tensor downInner, long dropoutKey) {
        gatedLinearBackward(gateUp, dX, gateUp, mlp.activation(), mlp.downAlone(), downInner, dropoutKey);
        normedLinearBackward(dX, gateUp, x, mlp.norm(), statistics, mlp.gateUp(), gateUpInner, dropoutKey);
    }

    // ---- loss

    /**
     * Output layer and cross-entropy in one, in chunks of rows, so that the logits of a whole batch are never there at once. Rows
     * without a target cost nothing.
     *
     * @param x [rows, hidden]
     * @param head [vocab, hidden]; its gradients are added into when it is trained and dX is wanted
     * @param targets the id that each row must predict, -100 for none; host array
     * @param scale factor of every gradient, such as 1 / labelled tokens of the accumulation window
     * @param lossSum F64 [1], <em>added into</em>: the sum, not scaled, of -log p(target)
     * @param dX [rows, hidden], overwritten; null for the loss alone
     */
    void headLoss(Tensor x, LinearWeights head, int[] targets, double scale, Tensor lossSum, Tensor dX);

    // ---- decoding

    /**
     * Chooses the token that follows each sequence.
     *
     * @param ids I32 [sequences], overwritten with the chosen tokens
     * @param positions I32 [sequences]: where each sequence's last token stands; then one higher, where the chosen one stands
     * @param logits [sequences, vocab]
     * @param uniform F64 [sequences, positions]: the number in [0, 1) that decides what follows each position; null where the sampler needs none
     */
    default void nextTokens(Tensor ids, Tensor positions, Tensor logits, Sampler sampler, Tensor uniform) {
        OpsArguments.nextTokens(ids, positions, logits, sampler, uniform);
        int vocab = Math.toIntExact(logits.shape().dim(1));
        int[] at = download(positions).toInts(), chosen = new int[at.length];
        float[] scores = download(logits).toFloats();
        MemorySegment numbers = uniform == null ? null : download(uniform).data();
        for (int i = 0; i < at.length; i++) {
            double number = numbers == null ? 0 : numbers.getAtIndex(TensorView.DOUBLE, i * uniform.shape().dim(1) + at[i]);
            chosen[i] = sampler.next(Arrays.copyOfRange(scores, i * vocab, (i + 1) * vocab), number);
            at[i]++;
        }
        try (Tensor newIds = upload(chosen); Tensor newPositions = upload(at)) {
            copyInto(ids, newIds);
            copyInto(positions, newPositions);
        }
    }

    /**
     * Does {@code operations} up to {@code times} times while the host reads {@code watched} after each.
     *
     * @param operations the same ones each time, on tensors that stay; they may not depend on what the host reads
     * @param watched I32
     */
    default Repetition repeat(int times, Tensor watched, Runnable operations) {
        return Repetition.whenAsked(this, times, watched, operations);
    }

    // ---- optimizer

    /**
     * The Euclidean norm of all gradients together.
     *
     * @param norm F64 [1], overwritten
     */
    void gradientNorm(List<Parameter> parameters, Tensor norm);

    /**
     * One AdamW step in PyTorch's order: decay, moments, update. Moments that were offloaded stay so: they pass through the backend's memory, with the same
     * result.
     *
     * @param norm F64 [1], as {@link #gradientNorm} wrote it
     * @see <a href="https://arxiv.org/abs/1711.05101">Decoupled weight decay regularization</a>
     */
    void adamW(List<AdamWState> states, AdamWStep step, Tensor norm);

    /**
     * One step of bitsandbytes' 8-bit AdamW in its order: moments from their codes, update from the moments before they are rounded, decay, moments to
     * their codes. An element whose gradient is not finite keeps its value and loses its moments. Every backend gives the same bits; moments that were
     * offloaded stay so, as in {@link #adamW}.
     *
     * @param norm F64 [1], as {@link #gradientNorm} wrote it
     * @see <a href="https://arxiv.org/abs/2110.02861">8-bit optimizers via block-wise quantization</a>
     * @see <a href="https://github.com/bitsandbytes-foundation/bitsandbytes/blob/95f9af30/csrc/kernels.cu">bitsandbytes kernels.cu:914-1147</a>
     */
    void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm);

    /** Overwrites the gradients of {@code parameters} with zeros. */
    void zeroGradients(List<Parameter> parameters);
}
