package jqlora.ops;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/** What writing a text token by token needs beside a forward. */
public interface DecodingOps extends Store {
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
        int[] past = download(positions).toInts(), one = new int[past.length];
        Arrays.fill(one, 1);
        return cachedAttention(qkv, shape, Sequences.continuing(one, past), cache, layer);
    }

    /**
     * Chooses the token that follows each sequence.
     *
     * @param ids I32 [sequences], overwritten with the chosen tokens
     * @param positions I32 [sequences]: where each sequence's last token stands; then one higher, where the chosen one stands
     * @param logits [sequences, vocab]
     * @param uniform F64 [sequences, positions]: the number in [0, 1) that decides what follows each position; null where the sampler needs none
     */
    default void nextTokens(Tensor ids, Tensor positions, Tensor logits, Sampler sampler, Tensor uniform) {
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
}
