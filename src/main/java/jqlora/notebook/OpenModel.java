package jqlora.notebook;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import jqlora.data.InstructionRow;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TextTokenizer;
import jqlora.data.TokenizedSet;
import jqlora.evaluate.AnswerComparison;
import jqlora.evaluate.MergeReport;
import jqlora.format.Checkpoint;
import jqlora.format.HfConfig;
import jqlora.generate.Assistant;
import jqlora.generate.GenerationConfig;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.lora.TargetTable;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.MemoryReport;
import jqlora.model.ModelLoader;
import jqlora.model.ModelUse;
import jqlora.model.ModelWriter;
import jqlora.ops.Ops;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.DType;
import jqlora.tensor.NearNames;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import jqlora.train.HeldOutLoss;

/** A model with its tokenizer and the folder that both came from, for notebooks: what one wants to do with it in one word each. */
public final class OpenModel implements AutoCloseable {
    private static final int ANSWER_TOKENS = 64;
    private static final long ADAPTER_SEED = 42;

    private final Path folder;
    private final CausalLm model;
    private final TextTokenizer tokenizer;
    private final ModelUse backend;
    private final List<LoraAdapter> adapters = new ArrayList<>();
    private final List<Merger.Merged> merges = new ArrayList<>();

    private OpenModel(Path folder, CausalLm model, TextTokenizer tokenizer, ModelUse backend) {
        this.folder = folder;
        this.model = model;
        this.tokenizer = tokenizer;
        this.backend = backend;
        model.use().named("the model " + name(), "open it again with openModel(Path.of(\"" + folder + "\"), ...)");
    }

    /** Its name on the Hub without the organisation, or that of its folder; {@link CausalLm#name} has the whole of it. */
    public String name() {
        return model.name().title();
    }

    /** Whether it can still be used: false after {@link #close}. */
    public boolean isOpen() {
        return !model.isClosed();
    }

    /** What a training of this model takes for itself: the model, and the backend too where it computes for one thread alone. */
    List<ModelUse> uses() {
        return model.ops() instanceof CpuOps ? List.of(model.use()) : List.of(model.use(), backend);
    }

    /** Refuses {@code what} while this is closed, or a training has it. */
    void require(String what) {
        backend.require(what);
        model.use().require(what);
    }

    /** The tokenizer for {@code what}, which needs one that is open. */
    private TextTokenizer tokenizerFor(String what) {
        model.use().requireOpen(what);
        return tokenizer;
    }

    /** Opens the model in {@code folder} on {@code ops}, which stays the caller's. */
    static OpenModel open(Path folder, LoadOptions options, Ops ops, LoadListener listener, ModelUse backend) throws IOException {
        requireFolder(folder);
        TextTokenizer tokenizer = TextTokenizer.open(folder);
        try {
            return new OpenModel(folder, ModelLoader.load(folder, options, ops, listener), tokenizer, backend);
        } catch (IOException | RuntimeException failed) {
            tokenizer.close();
            throw failed;
        }
    }

    private static void requireFolder(Path folder) throws IOException {
        if (Files.isDirectory(folder)) {
            return;
        }
        Path parent = folder.toAbsolutePath().getParent();
        List<String> models = List.of();
        if (parent != null && Files.isDirectory(parent)) {
            try (Stream<Path> beside = Files.list(parent)) {
                models = beside.filter(child -> Files.isRegularFile(child.resolve(HfConfig.FILE))).map(child -> child.getFileName().toString()).sorted().toList();
            }
        }
        throw new IOException(folder + ": is not a folder" + NearNames.hint(String.valueOf(folder.getFileName()), models));
    }

    /** @throws IllegalStateException if this was closed */
    public CausalLm model() {
        model.use().requireOpen("model");
        return model;
    }

    public Path folder() {
        return folder;
    }

    /** @throws IllegalStateException if this was closed */
    public TextTokenizer tokenizer() {
        return tokenizerFor("tokenizer");
    }

    /** Makes token rows as training needs them: the Alpaca template, qlora.py's limits. */
    public SupervisedTokenizer rows() {
        return SupervisedTokenizer.of(tokenizerFor("tokenizing"));
    }

    /** {@code rows} as tokens. */
    public TokenizedSet tokenize(List<InstructionRow> rows) {
        return rows().tokenize(rows);
    }

    /** The held-out loss on {@code rows}, with whatever adapter is in force. */
    public HeldOutLoss loss(List<InstructionRow> rows) {
        require("loss");
        return HeldOutLoss.of(model, tokenize(rows).rows());
    }

    /** The greedy answer to {@code instruction}, at most {@value #ANSWER_TOKENS} tokens. */
    public String ask(String instruction) {
        return assistant().answer(instruction);
    }

    /** The greedy answers to {@code rows}, at most {@value #ANSWER_TOKENS} tokens each. */
    public List<String> ask(List<InstructionRow> rows) {
        return AnswerComparison.answers(assistant(), rows);
    }

    private Assistant assistant() {
        require("ask");
        return Assistant.of(model, rows()).withConfig(GenerationConfig.defaults().withMaxNewTokens(ANSWER_TOKENS));
    }

    /** What the weights take. */
    public MemoryReport memory() {
        model.use().requireOpen("memory");
        return MemoryReport.of(model);
    }

    /**
     * The weight of the linear layer {@code module}, such as {@code model.layers.0.self_attn.q_proj}, as it computes: decoded where it is in 4 bits, without adapter.
     *
     * @return F32 [outFeatures, inFeatures], a copy
     * @throws IllegalArgumentException if there is no such layer; the message gives names near it
     */
    public TensorView weight(String module) {
        require("weight");
        try (Tensor numbers = model.ops().toFloat(model.linear(module).weight())) {
            return model.ops().download(numbers);
        }
    }

    /**
     * What the linear layer {@code module} makes of {@code x}: {@code W x}, with its bias, and with the adapter that is in force, if there is one.
     *
     * @param x [inFeatures]
     * @return [outFeatures]
     * @throws IllegalArgumentException if there is no such layer, or {@code x} has another length
     */
    public float[] apply(String module, float... x) {
        require("apply");
        return model.linear(module).apply(model.ops(), x);
    }

    /** What {@code config} would train. */
    public TargetTable targets(LoraConfig config) {
        model.use().requireOpen("targets");
        return TargetTable.of(model, config);
    }

    /**
     * A new adapter, in force, that changes nothing until it is trained. Adapters that this model was given before go out of force if they have a layer in
     * common with it, so that a cell can be run again; they keep what they have learned.
     */
    public LoraAdapter addAdapter(LoraConfig config) {
        require("adding an adapter");
        return inForce(() -> LoraAdapter.create(model, config, ADAPTER_SEED));
    }

    /** The adapter in {@code adapterFolder}, in force; others go out of force as for {@link #addAdapter}. */
    public LoraAdapter loadAdapter(Path adapterFolder) throws IOException {
        require("loading an adapter");
        return inForce(() -> LoraAdapter.load(model, adapterFolder, false));
    }

    @FunctionalInterface
    private interface Making<E extends Exception> {
        LoraAdapter make() throws E;
    }

    private <E extends Exception> LoraAdapter inForce(Making<E> making) throws E {
        adapters.removeIf(LoraAdapter::isClosed);
        List<LoraAdapter> others = adapters.stream().filter(LoraAdapter::isAttached).toList();
        others.forEach(LoraAdapter::detach);
        Set<String> taken = Set.of();
        try {
            LoraAdapter made = making.make();
            taken = made.factors().keySet();
            adapters.add(made);
            return made;
        } finally {
            Set<String> layers = taken;                           // none if it failed: then all is as it was
            others.stream().filter(other -> Collections.disjoint(other.factors().keySet(), layers)).forEach(LoraAdapter::attach);
        }
    }

    /** The weights as they are in the folder, before quantization. The caller closes it. */
    public Checkpoint original() throws IOException {
        return Checkpoint.open(folder);
    }

    /**
     * Merges {@code adapter} and takes it out of force, each layer by the route that keeps its storage: 4 bits are made again from the 16-bit original where the
     * folder has it, else by stochastic rounding; numbers are merged onto. The result says which layer took which route, and can undo it.
     */
    public Merger.Merged merge(LoraAdapter adapter) throws IOException {
        require("merge");
        try (Checkpoint original = original()) {
            return added(Merger.withOriginal(original).merge(adapter));
        }
    }

    /** Merges {@code adapter} by {@code route} and takes it out of force; the result can undo it. */
    public Merger.Merged merge(LoraAdapter adapter, MergeRoute route) throws IOException {
        require("merge");
        try (Checkpoint original = original()) {
            return added(Merger.withOriginal(original).merge(adapter, route));
        }
    }

    /**
     * What each way of merging {@code adapter}, which must be in force, keeps of what its training gained; every merge is undone again. Ways from the 16-bit
     * original are tried where the folder has it.
     *
     * @param heldOut rows that were not trained on
     * @throws IllegalArgumentException if the adapter is not in force, or merged already
     */
    public MergeReport mergeReport(LoraAdapter adapter, List<InstructionRow> heldOut) throws IOException {
        require("mergeReport");
        try (Checkpoint original = original()) {
            Merger merger = Merger.withOriginal(original);
            boolean numbers = merger.defaultRoute(adapter) != MergeRoute.STOCHASTIC_4BIT;
            return MergeReport.measure(adapter, tokenize(heldOut).rows(), merger, MergeReport.routes(adapter, numbers));
        }
    }

    private Merger.Merged added(Merger.Merged merged) {
        merges.add(merged);
        return merged;
    }

    /**
     * Undoes the last merge that is in force: the weights are the very bytes that they were, and its adapter is in force again.
     *
     * @return the adapter
     * @throws IllegalArgumentException if none is in force, or as {@link Merger.Merged#unmerge}
     */
    public LoraAdapter unmerge() {
        require("unmerge");
        Merger.Merged last = merges.reversed().stream().filter(Merger.Merged::isInForce).findFirst().orElseThrow(() -> new IllegalArgumentException(
                "unmerge: no merge is in force that could be undone; one that was made final by close() is undone by opening the model again"));
        last.unmerge();
        merges.removeIf(merged -> !merged.isInForce());
        return last.adapter();
    }

    /** Writes the model, adapters merged, as a Hugging Face folder: numbers in bfloat16, 4-bit weights as bitsandbytes has them. */
    public void save(Path target) throws IOException {
        require("saving the model");
        new ModelWriter(folder, DType.BF16).write(model, target);
    }

    @Override
    public void close() {
        model.close();
        tokenizer.close();
    }

    /** Such as {@code jqlora-tiny: llama, 8 layers, hidden 256 on cpu}. */
    @Override
    public String toString() {
        return name() + ": " + model + (isOpen() ? "" : ", closed");
    }
}
