package jqlora.model;

import java.lang.foreign.MemorySegment;
import java.util.random.RandomGenerator;
import jqlora.ops.KvCache;
import jqlora.ops.Ops;
import jqlora.ops.Repetition;
import jqlora.ops.Sampler;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * The tokens that follow a prompt, one after the other. The step from one to the next is made of operations on the same tensors each time: the
 * last token, its position, and the cache; so a backend may run ahead of who reads the tokens. The model must not change meanwhile.
 */
public final class Continuation implements AutoCloseable {
    private final CausalLm model;
    private final Ops ops;
    private final Sampler sampler;
    private final KvCache cache;
    private final Tensor ids, positions, uniform;
    private final Repetition steps;
    private boolean begun;

    Continuation(CausalLm model, int[] prompt, int maxNewTokens, Sampler sampler, RandomGenerator random) {
        this.model = model;
        this.ops = model.ops();
        this.sampler = sampler;
        Sequences sequence = Sequences.ofLengths(prompt.length);
        cache = model.newCache(1, prompt.length + maxNewTokens);
        ids = ops.zeros(DType.I32, 1);
        positions = ops.upload(new int[] {prompt.length - 1});
        uniform = sampler instanceof Sampler.Random ? ops.upload(uniform(random, prompt.length - 1, maxNewTokens)) : null;
        steps = ops.repeat(maxNewTokens - 1, ids, this::step);
        try (Tensor scores = model.lastScores(prompt, sequence, cache)) {
            ops.nextTokens(ids, positions, scores, sampler, uniform);
        } catch (RuntimeException | Error failed) {
            close();
            throw failed;
        }
    }

    /** F64 [1, positions]: a number for each token that may come, at the position of the token before it. */
    private static TensorView uniform(RandomGenerator random, int firstPosition, int count) {
        double[] numbers = new double[firstPosition + count];
        for (int i = 0; i < count; i++) {
            numbers[firstPosition + i] = random.nextDouble();
        }
        MemorySegment bytes = MemorySegment.ofArray(new byte[Double.BYTES * numbers.length]);
        MemorySegment.copy(numbers, 0, bytes, TensorView.DOUBLE, 0, numbers.length);
        return new TensorView(DType.F64, Shape.of(1, numbers.length), bytes);
    }

    private void step() {
        try (Tensor normed = new DecoderPass(model).hidden(ids, positions, cache); Tensor scores = model.scores(normed)) {
            ops.nextTokens(ids, positions, scores, sampler, uniform);
        }
    }

    /**
     * The next token.
     *
     * @throws IllegalStateException if there have been as many as were wanted
     */
    public int next() {
        if (begun) {
            return steps.next()[0];
        }
        begun = true;
        return ops.download(ids).toInts()[0];
    }

    @Override
    public void close() {
        steps.close();
        if (uniform != null) {
            uniform.close();
        }
        positions.close();
        ids.close();
        cache.close();
    }
}
