package jqlora.model;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import jqlora.ops.KvCache;
import jqlora.ops.Norm;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.RopeTable;
import jqlora.ops.Sampler;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.NearNames;
import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * A causal language model: embedding, decoder layers, output layer, on one backend. Modules and tensors have the names of the
 * checkpoint. Not for several threads at once.
 */
public final class CausalLm implements AutoCloseable {
    /** Name of the output layer. */
    public static final String LM_HEAD = "lm_head";

    private final Ops ops;
    private final DecoderSpec spec;
    private final Parameter embedTokens;
    private final List<DecoderLayer> layers;
    private final Norm norm;
    private final Linear lmHead;
    private final Map<String, Linear> linears = new LinkedHashMap<>();
    private final ModelUse use;
    private final Map<String, TensorPrint> prints;
    private RopeTable rope;

    /** @param prints of the parameters that are trained, as they were loaded; null of a model that is only planned */
    CausalLm(Ops ops, DecoderSpec spec, Parameter embedTokens, List<DecoderLayer> layers, Norm norm, Linear lmHead, Map<String, TensorPrint> prints) {
        ShapeException.require(embedTokens.name(), embedTokens.value().shape(), jqlora.tensor.Shape.of(spec.vocabSize(), spec.hiddenSize()));
        this.ops = ops;
        this.spec = spec;
        this.embedTokens = embedTokens;
        this.layers = List.copyOf(layers);
        this.norm = norm;
        this.lmHead = lmHead;
        this.prints = prints;
        layers.forEach(layer -> layer.linears().forEach(linear -> linears.put(linear.name(), linear)));
        linears.put(LM_HEAD, lmHead);
        use = new ModelUse("the model " + spec);
        linears.values().forEach(linear -> linear.guardedBy(use));
    }

    public DecoderSpec spec() {
        return spec;
    }

    public Ops ops() {
        return ops;
    }

    /** Who may use this model now; asked before anything is computed or put in place of something. */
    public ModelUse use() {
        return use;
    }

    public boolean isClosed() {
        return use.isClosed();
    }

    /** Every linear layer by its name, in the order of the forward; the output layer, {@value #LM_HEAD}, last. */
    public Map<String, Linear> linears() {
        return java.util.Collections.unmodifiableMap(linears);
    }

    /**
     * The linear layer {@code name}.
     *
     * @throws IllegalArgumentException if there is none; the message gives names near it
     */
    public Linear linear(String name) {
        Linear linear = linears.get(name);
        if (linear == null) {
            throw new IllegalArgumentException("model: there is no linear layer \"" + name + "\"" + NearNames.hint(name, linears.keySet()));
        }
        return linear;
    }

    /** The embedding table, [vocab, hidden]; also the output layer's weight where the family ties them. */
    public Parameter embedTokens() {
        return embedTokens;
    }

    /** Every parameter that is not an adapter's and not in 4 bits, each once, in the order of the forward. */
    public List<Parameter> parameters() {
        List<Parameter> parameters = new ArrayList<>();
        parameters.add(embedTokens);
        for (DecoderLayer layer : layers) {
            parameters.addAll(layer.norms());
            layer.linears().forEach(linear -> addOwn(parameters, linear));
        }
        parameters.addAll(norm.parameters());
        if (!spec.tieWordEmbeddings()) {
            addOwn(parameters, lmHead);
        }
        return parameters;
    }

    private static void addOwn(List<Parameter> parameters, Linear linear) {
        if (linear.weight() instanceof jqlora.ops.Weight.Dense(Parameter parameter)) {
            parameters.add(parameter);
        }
        if (linear.bias() != null) {
            parameters.add(linear.bias());
        }
    }

    /**
     * Tells the weights of one model from those of another: every tensor as it is now, merges in force included, and what it is kept as. Adapters in
     * force are no part of it, and parameters that are trained count as they were loaded; {@link WeightsFingerprint#ofValues} is for those. The first call
     * reads every weight once, at the speed of memory; later calls only those that merges have changed since.
     *
     * @throws IllegalStateException if the model is only planned, and so has no weights
     */
    public WeightsFingerprint fingerprint() {
        if (prints == null) {
            throw new IllegalStateException("model: it is only planned and has no weights, so it has no fingerprint; load it first");
        }
        try (Workers workers = new Workers(ops.threads())) {
            List<TensorPrint> all = new ArrayList<>();
            for (Linear linear : linears.values()) {
                TensorPrint asLoaded = prints.get(linear.name() + ".weight");
                all.add(asLoaded == null ? linear.print(ops, workers) : asLoaded);
            }
            parameters().stream().filter(parameter -> !linears.containsKey(layerOf(parameter))).forEach(parameter -> all.add(
                    prints.computeIfAbsent(parameter.name(), name -> TensorPrint.of(ops, parameter, workers))));
            return WeightsFingerprint.of(all.stream());
        }
    }

    /** The layer whose weight {@code parameter} would be by its name. */
    private static String layerOf(Parameter parameter) {
        String name = parameter.name();
        return name.endsWith(".weight") ? name.substring(0, name.length() - ".weight".length()) : "";
    }

    List<DecoderLayer> layers() {
        return layers;
    }

    Norm norm() {
        return norm;
    }

    Linear lmHead() {
        return lmHead;
    }

    /** The first layer that has something to train; the number of layers when none has. */
    int lowestTrainedLayer() {
        if (embedTokens.isTrained()) {
            return 0;
        }
        for (DecoderLayer layer : layers) {
            if (layer.isTrained()) {
                return layer.index();
            }
        }
        return layers.size();
    }

    /** The rotation table for at least {@code positions} positions. */
    RopeTable rope(int positions) {
        if (rope == null || rope.positions() < positions) {
            if (rope != null) {
                rope.close();
            }
            rope = RopeTables.create(ops, spec.attention().rope(), RopeTables.rows(spec.attention().rope(), positions));
        }
        return rope;
    }

    /** Positions of the rotation table that is there; 0 for none. */
    int ropePositions() {
        return rope == null ? 0 : rope.positions();
    }

    // ---- computing

    /**
     * Adds to {@code lossSum} the sum of -log p over the batch's labelled tokens, and to the gradients of everything trained
     * {@code scale} times the gradient of that sum.
     *
     * @param lossSum F64 [1]
     * @param dropoutKey decides the dropout of adapters, different for each micro-batch; 0 for none
     * @param budget which layers keep their activations; it changes time and memory, not one bit of the result
     */
    public void forwardBackward(TokenBatch batch, double scale, Tensor lossSum, long dropoutKey, ActivationBudget budget) {
        use.require("training");
        batch.requireIds(this);
        new DecoderPass(this).train(batch, scale, lossSum, dropoutKey, budget);
    }

    /** Adds to {@code lossSum}, F64 [1], the sum of -log p over the batch's labelled tokens. */
    public void loss(TokenBatch batch, Tensor lossSum) {
        use.require("loss");
        batch.requireIds(this);
        new DecoderPass(this).evaluate(batch, lossSum);
    }

    /** As {@link #loss(TokenBatch, Tensor)}, and waits for the number. */
    public double loss(TokenBatch batch) {
        try (Tensor lossSum = ops.zeros(DType.F64, 1)) {
            loss(batch, lossSum);
            return ops.download(lossSum).data().get(TensorView.DOUBLE, 0);
        }
    }

    /**
     * The scores of every token of the vocabulary after each token.
     *
     * @return [rows, vocab]; the caller closes it
     */
    public Tensor logits(int[] inputIds, Sequences sequences) {
        use.require("logits");
        try (Tensor normed = new DecoderPass(this).hidden(inputIds, sequences, null)) {
            return scores(normed);
        }
    }

    /** The scores after each row of the last norm's result. */
    Tensor scores(Tensor normed) {
        try (Tensor inner = lmHead.lora() == null ? null : ops.allocate(ops.computeType(), normed.shape().dim(0), lmHead.lora().r())) {
            return ops.linear(normed, List.of(lmHead.weights()), inner, 0);
        }
    }

    /** An empty cache for {@code sequences} sequences of up to {@code maxLength} tokens. */
    public KvCache newCache(int sequences, int maxLength) {
        use.require("cache");
        List<Tensor> keys = new ArrayList<>(), values = new ArrayList<>();
        long columns = (long) spec.attention().numKeyValueHeads() * spec.attention().headDim();
        for (int i = 0; i < layers.size(); i++) {
            keys.add(ops.allocate(ops.computeType(), (long) sequences * maxLength, columns));
            values.add(ops.allocate(ops.computeType(), (long) sequences * maxLength, columns));
        }
        return new KvCache(keys, values, maxLength);
    }

    /**
     * Feeds new tokens and returns the scores after the last one of each sequence.
     *
     * @param sequences how many new tokens each sequence has, and how many lie in the cache
     * @return F32 [sequences][vocab]
     */
    public float[][] decode(int[] inputIds, Sequences sequences, KvCache cache) {
        try (Tensor logits = lastScores(inputIds, sequences, cache)) {
            float[] all = ops.download(logits).toFloats();
            float[][] rows = new float[sequences.count()][];
            for (int i = 0; i < rows.length; i++) {
                rows[i] = java.util.Arrays.copyOfRange(all, i * spec.vocabSize(), (i + 1) * spec.vocabSize());
            }
            return rows;
        }
    }

    /** [sequences, vocab]: the scores after the last new token of each sequence. */
    Tensor lastScores(int[] inputIds, Sequences sequences, KvCache cache) {
        use.require("decoding");
        try (Tensor normed = new DecoderPass(this).hidden(inputIds, sequences, cache); Tensor last = lastRows(normed, sequences)) {
            return scores(last);
        }
    }

    /**
     * What follows {@code prompt}, token by token.
     *
     * @param prompt at least one token
     * @param random where the sampler's random numbers come from, one a token
     */
    public Continuation continuation(int[] prompt, int maxNewTokens, Sampler sampler, RandomGenerator random) {
        return new Continuation(this, prompt, maxNewTokens, sampler, random);
    }

    private Tensor lastRows(Tensor normed, Sequences sequences) {
        int[] rows = new int[sequences.count()];
        for (int i = 0; i < rows.length; i++) {
            rows[i] = sequences.start(i + 1) - 1;
        }
        try (Tensor ids = ops.upload(rows)) {
            return ops.embedding(normed, ids);
        }
    }

    /**
     * Gives back all memory of the model; adapters are not the model's. A second call does nothing.
     *
     * @throws IllegalStateException if the model is lent to another thread
     */
    @Override
    public void close() {
        if (use.isClosed()) {
            return;
        }
        use.require("closing");
        use.close();
        embedTokens.close();
        layers.forEach(DecoderLayer::close);
        norm.close();
        lmHead.close();
        if (rope != null) {
            rope.close();
        }
    }

    /** Such as {@code llama, 30 layers, hidden 576 on cpu}. */
    @Override
    public String toString() {
        return spec + " on " + ops.name();
    }
}
