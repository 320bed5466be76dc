package jqlora.model;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import jqlora.format.ModelName;
import jqlora.ops.Dropout;
import jqlora.ops.KvCache;
import jqlora.ops.Norm;
import jqlora.ops.Ops;
import jqlora.ops.OutputHead;
import jqlora.ops.Parameter;
import jqlora.ops.RopeTable;
import jqlora.ops.Sampler;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.NearNames;
import jqlora.tensor.Shape;
import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.tensor.Workers;

/**
 * A causal language model: embedding, decoder layers, output layer, on one backend. Modules and tensors have the names of the
 * checkpoint. Not for several threads at once.
 */
public final class CausalLm implements AutoCloseable {
    private final Ops ops;
    private final DecoderSpec spec;
    private final Embedding embedding;
    private final List<DecoderLayer> layers;
    private final Norm norm;
    private final Linear projectOut, lmHead;
    private final Map<String, Linear> linears = new LinkedHashMap<>();
    private final ModelUse use;
    private final Map<String, TensorPrint> prints;
    private LoadReport loadReport = new LoadReport(List.of(), List.of());
    private ModelName modelName;
    private final Map<RopeSpec, RopeTable> ropes = new HashMap<>();

    /**
     * @param norm null for none
     * @param projectOut null for none
     * @param prints of the parameters that are trained, as they were loaded; null of a model that is only planned
     */
    CausalLm(Ops ops, DecoderSpec spec, Embedding embedding, List<DecoderLayer> layers, Norm norm, Linear projectOut, Linear lmHead, Map<String, TensorPrint> prints) {
        ShapeException.require(embedding.tokens().name(), embedding.tokens().value().shape(), Shape.of(spec.vocabSize(), spec.embedding().width()));
        this.ops = ops;
        this.spec = spec;
        this.embedding = embedding;
        this.layers = List.copyOf(layers);
        this.norm = norm;
        this.projectOut = projectOut;
        this.lmHead = lmHead;
        this.prints = prints;
        put(embedding.projectIn());
        layers.forEach(layer -> layer.linears().forEach(this::put));
        put(projectOut);
        put(lmHead);
        use = new ModelUse("the model " + spec);
        linears.values().forEach(linear -> linear.guardedBy(use));
    }

    private void put(Linear linear) {
        if (linear != null) {
            linears.put(linear.name(), linear);
        }
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

    /** Every linear layer by its name, in the order of the forward; the output layer, {@link #headName()}, last. */
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

    /** Name of the output layer, such as {@code lm_head}. */
    public String headName() {
        return lmHead.name();
    }

    /** The embedding table, [vocab, width]; also the output layer's weight where the family ties them. */
    public Parameter embedTokens() {
        return embedding.tokens();
    }

    /** Every parameter that is not an adapter's and not in 4 bits, each once, in the order of the forward. */
    public List<Parameter> parameters() {
        List<Parameter> parameters = new ArrayList<>();
        parameters.addAll(embedding.parameters());
        addOwn(parameters, embedding.projectIn());
        for (DecoderLayer layer : layers) {
            parameters.addAll(layer.norms());
            layer.linears().forEach(linear -> addOwn(parameters, linear));
        }
        if (norm != null) {
            parameters.addAll(norm.parameters());
        }
        addOwn(parameters, projectOut);
        addOwn(parameters, lmHead);
        return parameters.stream().distinct().toList();          // a tied output layer is the embedding again
    }

    private static void addOwn(List<Parameter> parameters, Linear linear) {
        if (linear == null) {
            return;
        }
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

    /** What other programs know the model by; null of one that was not loaded from a folder. */
    public ModelName name() {
        return modelName;
    }

    void setName(ModelName name) {
        modelName = name;
    }

    /** What is worth knowing about how the model was loaded. */
    public LoadReport loadReport() {
        return loadReport;
    }

    void setLoadReport(LoadReport report) {
        loadReport = report;
    }

    List<DecoderLayer> layers() {
        return layers;
    }

    Embedding embedding() {
        return embedding;
    }

    /** The last norm; null for none. */
    Norm norm() {
        return norm;
    }

    /** What stands between the last norm and the output layer; null for nothing. */
    Linear projectOut() {
        return projectOut;
    }

    OutputHead outputHead() {
        return new OutputHead(lmHead.weights(), spec.output().scale(), spec.output().softCap());
    }

    Linear lmHead() {
        return lmHead;
    }

    /** The first layer that has something to train; the number of layers when none has. */
    int lowestTrainedLayer() {
        if (embedding.isTrained()) {
            return 0;
        }
        for (DecoderLayer layer : layers) {
            if (layer.isTrained()) {
                return layer.index();
            }
        }
        return layers.size();
    }

    /** The rotation tables for at least {@code positions} positions. */
    Map<RopeSpec, RopeTable> ropes(int positions) {
        for (RopeSpec rope : spec.attention().ropes()) {
            RopeTable table = ropes.get(rope);
            if (table == null || table.positions() < positions) {
                if (table != null) {
                    table.close();
                }
                ropes.put(rope, RopeTables.create(ops, rope, RopeTables.rows(rope, positions)));
            }
        }
        return ropes;
    }

    /** Positions of the rotation tables that are there; 0 for none. */
    int ropePositions() {
        return ropes.values().stream().mapToInt(RopeTable::positions).min().orElse(0);
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
        new DecoderPass(this).train(batch, scale, lossSum, new Dropout(dropoutKey), budget);
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

    /** The scores after each row of what the output layer reads. */
    Tensor scores(Tensor hidden) {
        return ops.scores(hidden, outputHead());
    }

    /** An empty cache for {@code sequences} sequences of up to {@code maxLength} tokens. */
    public KvCache newCache(int sequences, int maxLength) {
        use.require("cache");
        spec.requirePositions(maxLength);
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
        embedding.close();
        layers.forEach(DecoderLayer::close);
        if (norm != null) {
            norm.close();
        }
        if (projectOut != null) {
            projectOut.close();
        }
        lmHead.close();
        ropes.values().forEach(RopeTable::close);
    }

    /** Such as {@code llama, 30 layers, hidden 576 on cpu}. */
    @Override
    public String toString() {
        return spec + " on " + ops.name();
    }
}
