package jqlora.notebook;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import jqlora.data.InstructionRow;
import jqlora.data.SupervisedTokenizer;
import jqlora.data.TextTokenizer;
import jqlora.data.TokenizedSet;
import jqlora.device.Device;
import jqlora.evaluate.AnswerComparison;
import jqlora.evaluate.MergeReport;
import jqlora.format.Checkpoint;
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
import jqlora.tensor.DType;
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
    private final ModelMerges merges;
    private final NamedAdapters adapters = new NamedAdapters();

    private OpenModel(Path folder, CausalLm model, TextTokenizer tokenizer, ModelUse backend) {
        this.folder = folder;
        this.model = model;
        this.tokenizer = tokenizer;
        this.backend = backend;
        this.merges = new ModelMerges(folder);
        model.use().named("the model " + name(), "open it again with openModel(Path.of(\"" + folder + "\"), ...)");
    }

    /**
     * Its name on the Hub without the organisation, or that of its folder; {@link CausalLm#name} has the whole of it.
     *
     * <pre>{@code
     * model.name()
     * }</pre>
     */
    public String name() {
        return model.name().title();
    }

    /**
     * Whether it can still be used: false after {@link #close}.
     *
     * <pre>{@code
     * model.isOpen()
     * }</pre>
     */
    public boolean isOpen() {
        return !model.isClosed();
    }

    /** What a training of this model takes for itself: the model, and the backend too where it computes for one thread alone. */
    List<ModelUse> uses() {
        return Device.isProcessor(model.ops()) ? List.of(model.use()) : List.of(model.use(), backend);
    }

    /** Refuses {@code what} while this is closed, or a training has it. */
    void require(String what) {
        backend.require(what);
        model.use().require(what);
    }

    private TextTokenizer tokenizerFor(String what) {
        model.use().requireOpen(what);
        return tokenizer;
    }

    /** Opens the model in {@code folder} on {@code ops}, which stays the caller's. */
    static OpenModel open(Path folder, LoadOptions options, Ops ops, LoadListener listener, ModelUse backend) throws IOException {
        NamedModel.requireFolder(folder);
        TextTokenizer tokenizer = TextTokenizer.open(folder);
        try {
            return new OpenModel(folder, ModelLoader.load(folder, options, ops, listener), tokenizer, backend);
        } catch (IOException | RuntimeException failed) {
            tokenizer.close();
            throw failed;
        }
    }

    /**
     * @throws IllegalStateException if this was closed
     *
     * <pre>{@code
     * model.model().spec()
     * }</pre>
     */
    public CausalLm model() {
        model.use().requireOpen("model");
        return model;
    }

    /**
     * The folder that it was read from.
     *
     * <pre>{@code
     * model.folder()
     * }</pre>
     */
    public Path folder() {
        return folder;
    }

    /**
     * @throws IllegalStateException if this was closed
     *
     * <pre>{@code
     * model.tokenizer().encode("What is a bee?")
     * }</pre>
     */
    public TextTokenizer tokenizer() {
        return tokenizerFor("tokenizer");
    }

    /**
     * Makes token rows as training needs them: the Alpaca template, qlora.py's limits.
     *
     * <pre>{@code
     * model.rows().limits()
     * }</pre>
     */
    public SupervisedTokenizer rows() {
        return SupervisedTokenizer.of(tokenizerFor("tokenizing"));
    }

    /**
     * {@code rows} as tokens.
     *
     * <pre>{@code
     * model.tokenize(english.train())
     * }</pre>
     */
    public TokenizedSet tokenize(List<InstructionRow> rows) {
        return rows().tokenize(rows);
    }

    /**
     * The held-out loss on {@code rows}, with whatever adapter is in force.
     *
     * <pre>{@code
     * model.loss(english.test()).perplexity()
     * }</pre>
     */
    public HeldOutLoss loss(List<InstructionRow> rows) {
        require("loss");
        return HeldOutLoss.of(model, tokenize(rows).rows());
    }

    /**
     * The greedy answer to {@code instruction}, at most {@value #ANSWER_TOKENS} tokens.
     *
     * <pre>{@code
     * model.ask("What is a bee?")
     * }</pre>
     */
    public String ask(String instruction) {
        return assistant().answer(instruction);
    }

    /**
     * The greedy answers to {@code rows}, at most {@value #ANSWER_TOKENS} tokens each.
     *
     * <pre>{@code
     * model.ask(english.test())
     * }</pre>
     */
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

    /**
     * What the weights take.
     *
     * <pre>{@code
     * model.memory()
     * }</pre>
     */
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
    public TrainingPlan plan(LoraAdapter adapter, SftConfig config, int... lengths) {
        require("plan");
        return Machine.planned(model.ops(), TrainingPlan.of(adapter, config, lengths));
    }

    /**
     * The weight of the linear layer {@code module}, such as {@code model.layers.0.self_attn.q_proj}, as it computes: decoded where it is in 4 bits, without adapter.
     *
     * <pre>{@code
     * model.weight("model.layers.0.self_attn.q_proj").shape()
     * }</pre>
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
     * <pre>{@code
     * float[] x = new float[256];
     * x[0] = 1;
     * model.apply("model.layers.0.self_attn.q_proj", x);
     * }</pre>
     *
     * @param x [inFeatures]
     * @return [outFeatures]
     * @throws IllegalArgumentException if there is no such layer, or {@code x} has another length
     */
    public float[] apply(String module, float... x) {
        require("apply");
        return model.linear(module).apply(model.ops(), x);
    }

    /**
     * What {@code config} would train.
     *
     * <pre>{@code
     * model.targets(LoraConfig.defaults().withTargetModules("q_proj", "v_proj"))
     * }</pre>
     */
    public TargetTable targets(LoraConfig config) {
        model.use().requireOpen("targets");
        return TargetTable.of(model, config);
    }

    // ---- adapters

    /**
     * A new adapter, in force, that changes nothing until it is trained. It has the name {@value #ONE}: an earlier one of this name leaves the list, so that a
     * cell can run twice; a variable that holds it keeps what it has learned. Others go out of force if they have a layer in common with it.
     *
     * <pre>{@code
     * LoraAdapter adapter = model.addAdapter(LoraConfig.defaults().withTargetModules("q_proj"));
     * }</pre>
     */
    public LoraAdapter addAdapter(LoraConfig config) {
        return addAdapter(ONE, config);
    }

    /**
     * A new adapter of that name, in force; others stay in the list, out of force if they have a layer in common with it.
     *
     * <pre>{@code
     * model.addAdapter("english", LoraConfig.defaults().withTargetModules("q_proj"));
     * model.addAdapter("chinese", LoraConfig.defaults().withTargetModules("v_proj"));
     * model.useAdapter("english");
     * }</pre>
     */
    public LoraAdapter addAdapter(String name, LoraConfig config) {
        require("adding an adapter");
        return adapters.put(name, () -> LoraAdapter.create(model, config, ADAPTER_SEED));
    }

    /**
     * The adapter in {@code adapterFolder}, in force as by {@link #addAdapter(String, LoraConfig)}; its name is the folder's.
     *
     * <pre>{@code
     * Path kept = freshFolder("my-adapter");
     * adapter.save(kept, null);
     * LoraAdapter loaded = model.loadAdapter(kept);
     * }</pre>
     */
    public LoraAdapter loadAdapter(Path adapterFolder) throws IOException {
        require("loading an adapter");
        return adapters.put(String.valueOf(adapterFolder.toAbsolutePath().normalize().getFileName()), () -> LoraAdapter.load(model, adapterFolder, false));
    }

    /**
     * The adapters that this model was given, by name: which is in force, which are merged.
     *
     * <pre>{@code
     * model.adapters()
     * }</pre>
     */
    public HtmlTable adapters() {
        return adapters.table("adapters of " + name());
    }

    /**
     * Puts the adapter of that name in force instead of those that have a layer in common with it.
     *
     * <pre>{@code
     * model.addAdapter("english", LoraConfig.defaults().withTargetModules("q_proj"));
     * model.useNoAdapter();
     * model.useAdapter("english");
     * }</pre>
     *
     * @throws IllegalArgumentException if there is none of this name, or it is merged
     */
    public LoraAdapter useAdapter(String name) {
        require("switching adapters");
        return adapters.use(name);
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
        adapters.useNone();
    }

    /**
     * Takes the adapter of that name out of force and gives back its memory.
     *
     * <pre>{@code
     * model.addAdapter("trial", LoraConfig.defaults().withTargetModules("q_proj"));
     * model.dropAdapter("trial");
     * }</pre>
     *
     * @throws IllegalArgumentException if there is none of this name, or it is merged
     */
    public void dropAdapter(String name) {
        require("dropping an adapter");
        adapters.drop(name);
    }

    /**
     * The weights as they are in the folder, before quantization. The caller closes it.
     *
     * <pre>{@code
     * try (Checkpoint original = model.original()) {
     *     show(original.infos().size());
     * }
     * }</pre>
     */
    public Checkpoint original() throws IOException {
        return Checkpoint.open(folder);
    }

    /**
     * Merges {@code adapter} and takes it out of force, each layer by the route that keeps its storage: 4 bits are made again from the 16-bit original where the
     * folder has it, else by stochastic rounding; numbers are merged onto. The result says which layer took which route, and can undo it.
     *
     * <pre>{@code
     * model.merge(adapter);
     * model.unmerge();
     * }</pre>
     */
    public Merger.Merged merge(LoraAdapter adapter) throws IOException {
        require("merge");
        return merges.merge(merger -> merger.merge(adapter));
    }

    /**
     * Merges {@code adapter} by {@code route} and takes it out of force; the result can undo it.
     *
     * <pre>{@code
     * model.merge(adapter, MergeRoute.STOCHASTIC_4BIT);
     * model.unmerge();
     * }</pre>
     */
    public Merger.Merged merge(LoraAdapter adapter, MergeRoute route) throws IOException {
        require("merge");
        return merges.merge(merger -> merger.merge(adapter, route));
    }

    /**
     * What each way of merging {@code adapter} keeps of what its training gained; every merge is undone again. Ways from the 16-bit original are tried where
     * the folder has it.
     *
     * <pre>{@code
     * fineTune(model, adapter, english, config, freshFolder("my-run"));
     * model.mergeReport(adapter, english.test())
     * }</pre>
     *
     * @param adapter in force, before and afterwards
     * @param heldOut rows that were not trained on
     * @throws IllegalArgumentException if the adapter is not in force, or merged already
     */
    public MergeReport mergeReport(LoraAdapter adapter, List<InstructionRow> heldOut) throws IOException {
        require("mergeReport");
        return merges.report(adapter, tokenize(heldOut).rows());
    }

    /**
     * Undoes the last merge that is in force: the weights are the very bytes that they were, and its adapter is in force again.
     *
     * <pre>{@code
     * model.merge(adapter);
     * LoraAdapter again = model.unmerge();
     * }</pre>
     *
     * @return the adapter
     * @throws IllegalArgumentException if none is in force, or as {@link Merger.Merged#unmerge}
     */
    public LoraAdapter unmerge() {
        require("unmerge");
        return merges.undoLast();
    }

    /**
     * Writes the model, adapters merged, as a Hugging Face folder: numbers in bfloat16, 4-bit weights as bitsandbytes has them.
     *
     * <pre>{@code
     * model.useNoAdapter();                          // or merge it: a model is saved without adapters
     * model.save(freshFolder("my-model"));
     * }</pre>
     */
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
