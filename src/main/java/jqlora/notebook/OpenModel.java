package jqlora.notebook;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;
import jqlora.data.InstructionRow;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TextTokenizer;
import jqlora.data.TokenizedSet;
import jqlora.evaluate.AnswerComparison;
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
import jqlora.train.SftConfig;
import jqlora.train.TrainingPlan;

/** A model with its tokenizer and the folder that both came from, for notebooks: what one wants to do with it in one word each. */
public final class OpenModel implements AutoCloseable {
    private static final int ANSWER_TOKENS = 64;
    private static final long ADAPTER_SEED = 42;
    private static final String ONE = "default";

    private final Path folder;
    private final CausalLm model;
    private final TextTokenizer tokenizer;
    private final ModelUse backend;
    private final List<Merger.Merged> merges = new ArrayList<>();
    private final Map<String, LoraAdapter> adapters = new LinkedHashMap<>();

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

    /**
     * The answer to {@code instruction} as {@code config} says.
     *
     * <pre>{@code
     * model.ask("What is an insect?", GenerationConfig.defaults().withMaxNewTokens(20).withSampling(0.7, 50, 0.9))
     * }</pre>
     */
    public String ask(String instruction, GenerationConfig config) {
        return assistant().withConfig(config).answer(instruction);
    }

    /**
     * The greedy answer to {@code instruction}, printed piece by piece as it comes, at most {@value #ANSWER_TOKENS} tokens. Stopping the cell ends it.
     *
     * <pre>{@code
     * model.stream("What is an insect?");
     * }</pre>
     *
     * @return the whole answer
     */
    public String stream(String instruction) {
        String answer = assistant().stream(InstructionRow.of(instruction, ""), piece -> {
            System.out.print(piece);
            System.out.flush();
        });
        System.out.println();
        return answer;
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
     * What training {@code adapter} will take, by a dry run of its steps that computes nothing: for each length of a row, with the batch size of {@code config}.
     *
     * <pre>{@code
     * model.plan(model.addAdapter(LoraConfig.defaults()), SftConfig.defaults().withBatchSize(4), 128, 512, 2048)
     * }</pre>
     *
     * @param lengths tokens of a row
     */
    public HtmlTable plan(LoraAdapter adapter, SftConfig config, int... lengths) {
        require("plan");
        return planTable(name(), TrainingPlan.of(adapter, config, lengths), model.ops());
    }

    static HtmlTable planTable(String name, TrainingPlan plan, Ops ops) {
        HtmlTable table = Tables.of("memory of training " + name + " on " + ops.name(), "rows", "tokens a row", "weights and optimizer", "a step, activations kept",
                "a step, recomputed", "fits");
        plan.perLength().forEach(each -> table.row(each.sequences(), each.tokens(), right(each.keepAll().standingBytes()), right(each.keepAll().takenBytes()),
                right(each.recompute().takenBytes()), each.fits()));
        long limit = ops.memory().limitBytes();
        return limit == Long.MAX_VALUE ? table : table.note("of " + ShortNumber.bytes(limit) + " that may be used");
    }

    private static HtmlTable.RightAligned right(long bytes) {
        return new HtmlTable.RightAligned(ShortNumber.bytes(bytes));
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

    // ---- adapters

    /**
     * A new adapter, in force, that changes nothing until it is trained. It has the name {@value #ONE}: an earlier one of this name is taken out of force and
     * leaves the list, so that a cell can run twice; a variable that holds it keeps its numbers.
     *
     * <pre>{@code
     * LoraAdapter adapter = model.addAdapter(LoraConfig.defaults().withTargetModules("q_proj"));
     * }</pre>
     */
    public LoraAdapter addAdapter(LoraConfig config) {
        return addAdapter(ONE, config);
    }

    /**
     * A new adapter of that name, in force; the others stay in the list, out of force.
     *
     * <pre>{@code
     * model.addAdapter("english", LoraConfig.defaults().withTargetModules("q_proj"));
     * model.addAdapter("chinese", LoraConfig.defaults().withTargetModules("v_proj"));
     * model.useAdapter("english");
     * }</pre>
     */
    public LoraAdapter addAdapter(String name, LoraConfig config) {
        require("adding an adapter");
        TargetTable.of(model, config);                            // whose errors come before anything changes
        return inForce(name, () -> LoraAdapter.create(model, config, ADAPTER_SEED));
    }

    /** The adapter in {@code adapterFolder}, in force; its name is the folder's. */
    public LoraAdapter loadAdapter(Path adapterFolder) throws IOException {
        require("loading an adapter");
        List<LoraAdapter> before = attached();
        before.forEach(LoraAdapter::detach);
        try {
            LoraAdapter loaded = LoraAdapter.load(model, adapterFolder, false);
            adapters.put(String.valueOf(adapterFolder.toAbsolutePath().normalize().getFileName()), loaded);
            return loaded;
        } catch (IOException | RuntimeException failed) {
            before.forEach(LoraAdapter::attach);
            throw failed;
        }
    }

    private LoraAdapter inForce(String name, Supplier<LoraAdapter> made) {
        List<LoraAdapter> before = attached();
        before.forEach(LoraAdapter::detach);
        try {
            LoraAdapter adapter = made.get();
            adapters.put(name, adapter);
            return adapter;
        } catch (RuntimeException failed) {
            before.forEach(LoraAdapter::attach);
            throw failed;
        }
    }

    private List<LoraAdapter> attached() {
        return adapters.values().stream().filter(LoraAdapter::isAttached).toList();
    }

    /**
     * The adapters that this model was given, by name: which is in force, which are merged.
     *
     * <pre>{@code
     * model.adapters()
     * }</pre>
     */
    public HtmlTable adapters() {
        HtmlTable table = Tables.of("adapters of " + name(), "name", "adapter", "parameters", "state");
        adapters.forEach((name, adapter) -> table.row(name, adapter.config().toString(), adapter.parameterCount(),
                adapter.isMerged() ? "merged" : adapter.isAttached() ? "in force" : "out of force"));
        return table;
    }

    /**
     * Puts the adapter of that name in force instead of the one that is.
     *
     * @throws IllegalArgumentException if there is none of this name, or it is merged
     */
    public LoraAdapter useAdapter(String name) {
        require("switching adapters");
        LoraAdapter adapter = named(name);
        return inForce(name, adapter::attach);
    }

    /**
     * Computes without an adapter, as the base does; {@link #useAdapter} puts one in force again.
     *
     * <pre>{@code
     * model.useNoAdapter();
     * String base = model.ask("What is an insect?");
     * }</pre>
     */
    public void useNoAdapter() {
        require("switching adapters");
        attached().forEach(LoraAdapter::detach);
    }

    /**
     * Takes the adapter of that name out of force and gives back its memory.
     *
     * @throws IllegalArgumentException if there is none of this name, or it is merged
     */
    public void dropAdapter(String name) {
        require("dropping an adapter");
        LoraAdapter adapter = named(name);
        if (adapter.isMerged()) {
            throw new IllegalArgumentException("dropAdapter: " + name + " is merged into the weights; undo the merge first, with unmerge()");
        }
        adapter.close();
        adapters.remove(name);
    }

    private LoraAdapter named(String name) {
        LoraAdapter adapter = adapters.get(name);
        if (adapter == null) {
            throw new IllegalArgumentException("\"" + name + "\" is no adapter of this model" + (adapters.isEmpty() ? ", which has none"
                    : NearNames.hint(name, List.copyOf(adapters.keySet())) + "; it has " + String.join(", ", adapters.keySet())));
        }
        return adapter;
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
