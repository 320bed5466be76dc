package jqlora.train;

import static jqlora.Assert.assertFails;
import static jqlora.Assert.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import jqlora.Oracle;
import jqlora.TinyModel;
import jqlora.data.TokenizedRow;
import jqlora.format.HfConfig;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.model.ActivationBudget;
import jqlora.model.ActivationBudget.Kept;
import jqlora.model.ActivationBudget.Place;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.MemoryPlan;
import jqlora.model.MemoryPlanner;
import jqlora.model.ModelLoader;
import jqlora.model.TokenBatch;
import jqlora.ops.Ops;
import jqlora.ops.Rehearsal;
import jqlora.ops.Sequences;
import jqlora.ops.cpu.CpuOps;
import jqlora.ops.cuda.CudaOps;
import jqlora.ops.cuda.Gpu;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What is predicted against what is taken, on the processor or, where one is asked for, on a GPU; and on a GPU that is not there, what is proposed and refused. */
class MemoryPlannerTest {
    private static final double TOLERANCE = 0.05;
    private static final Ops FEW_BYTES = CudaOps.rehearsalOf(10_000_000_000L);

    @TempDir
    private static java.nio.file.Path folder;

    private static Ops ops;

    @BeforeAll
    static void open() {
        ops = Gpu.isWanted() ? CudaOps.open(Gpu.options().withResidentBytes(0)) : CpuOps.create();
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all is closed");
        ops.close();
    }

    private static TinyModel model() throws IOException {
        return model("llama");
    }

    private static TinyModel model(String family) throws IOException {
        return new TinyModel(HfConfig.read(Oracle.path("families/" + family))).with("hidden_size", 128).with("intermediate_size", 344).with("num_hidden_layers", 4).with("vocab_size", 999);
    }

    /** Small enough that the adapter is not most of it. */
    private static LoraConfig lora(float dropout) {
        return LoraConfig.defaults().withR(4).withLoraDropout(dropout);
    }

    static Stream<Arguments> budgets() {
        Stream<ActivationBudget> others = Arrays.stream(Place.values()).flatMap(place -> Arrays.stream(Kept.values())
                .flatMap(kept -> Stream.of(0L, 2_500_000L).map(bytes -> new ActivationBudget(bytes, kept, place))));
        Stream<Arguments> ofLlama = Stream.concat(Stream.of(ActivationBudget.keepAll()), others).map(budget -> Arguments.of("llama", budget));
        return Stream.concat(ofLlama, Stream.of("gemma", "stablelm").flatMap(family -> Stream.of(ActivationBudget.keepAll(), ActivationBudget.recomputeAll())
                .map(budget -> Arguments.of(family, budget))));
    }

    private static TokenBatch batch(boolean all, int... lengths) {
        Sequences sequences = Sequences.ofLengths(lengths);
        int[] ids = new Random(1).ints(sequences.rows(), 0, 999).toArray(), labels = ids.clone();
        Arrays.fill(labels, 0, all ? 0 : labels.length / 2, TokenBatch.IGNORE);
        return TokenBatch.of(ids, labels, sequences);
    }

    private static MemoryPlanner planner(LoraAdapter adapter) {
        return new MemoryPlanner(adapter.model(), ops -> {
            AdamW optimizer = new AdamW(ops, adapter.parameters(), OptimizerConfig.defaults());
            return () -> step(ops, optimizer);
        });
    }

    @Tag("slow")
    @ParameterizedTest
    @MethodSource("budgets")
    void thePeakIsPredicted(String family, ActivationBudget budget) throws IOException {
        TinyModel tiny = model(family);
        tiny.write(folder, DType.BF16, 1, ops);
        for (float dropout : new float[] {0, 0.1f}) {
            for (TokenBatch batch : List.of(batch(true, 150, 150), batch(false, 250, 35, 15))) {
                MemoryPlan before;
                try (LoraAdapter adapter = LoraAdapter.create(MemoryPlanner.plannedModel(tiny.config().withDtype(DType.BF16), LoadOptions.defaults(), ops), lora(dropout), 1)) {
                    before = planner(adapter).plan(batch, budget);
                }
                try (CausalLm model = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT); LoraAdapter adapter = LoraAdapter.create(model, lora(dropout), 1)) {
                    MemoryPlan loaded = planner(adapter).plan(batch, budget);
                    long peak = peak(ops, adapter, batch, budget);
                    assertClose("before loading, " + budget, before.peakBytes(), peak);
                    assertClose("of what is loaded, " + budget, loaded.peakBytes(), peak);
                    assertTrue(loaded.standingBytes() < peak, "bytes that stay: " + loaded.standingBytes() + " of " + peak);
                }
            }
        }
    }

    static Stream<LoadOptions> options() {
        return Stream.of(LoadOptions.defaults(), LoadOptions.asStored(), LoadOptions.fullFineTuning(), LoadOptions.defaults().withDtype(DType.F32), LoadOptions.defaults().withDtype(DType.F16),
                LoadOptions.asStored().withDtype(DType.BF16), LoadOptions.defaults().withSkipModules(List.of("down_proj")),
                LoadOptions.defaults().withDtype(DType.F32).withQuantization(FourBitFormat.defaults().withDoubleQuantization(false)));
    }

    /** The bytes of a planned model are those of the loaded one, whatever it is stored as and loaded to. */
    @ParameterizedTest
    @MethodSource("options")
    void aPlannedModelHasTheBytesOfTheLoadedOne(LoadOptions options) throws IOException {
        for (TinyModel tiny : List.of(model(), model("gemma"), model("stablelm"))) {
            for (DType stored : new DType[] {DType.BF16, DType.F32}) {
                tiny.write(folder, stored, 1, ops);
                long planned = MemoryPlanner.plannedModel(tiny.config().withDtype(stored), options, ops).ops().memory().bytesInUse();
                try (CausalLm model = ModelLoader.load(folder, options, ops, LoadListener.SILENT)) {
                    assertEquals(ops.memory().bytesInUse(), planned, model + " stored as " + stored + ", loaded with " + options);
                }
            }
        }
    }

    /** Moments in the host's memory are saved, restored and updated as others are. */
    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.INCLUDE, names = {"ADAMW_32BIT", "ADAMW_8BIT"})
    void pagedMomentsAreSavedAndRestored(Optim optim) throws IOException {
        OptimizerConfig config = OptimizerConfig.defaults().withOptim(optim);
        model().write(folder, DType.BF16, 1, ops);
        java.nio.file.Path here = folder.resolve("here.safetensors"), there = folder.resolve("there.safetensors");
        List<float[]> values = new java.util.ArrayList<>();
        for (boolean paged : new boolean[] {false, true}) {
            try (CausalLm model = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT); LoraAdapter adapter = LoraAdapter.create(model, lora(0).withR(16), 1);
                    Tensor sum = ops.zeros(DType.F64, 1); Tensor norm = ops.zeros(DType.F64, 1);
                    AdamW first = paged ? AdamW.paged(ops, adapter.parameters(), config) : new AdamW(ops, adapter.parameters(), config);
                    AdamW second = paged ? AdamW.paged(ops, adapter.parameters(), config) : new AdamW(ops, adapter.parameters(), config)) {
                for (int step = 1; step <= 3; step++) {
                    model.forwardBackward(batch(true, 60), 1, sum, 0, ActivationBudget.keepAll());
                    ops.gradientNorm(adapter.parameters(), norm);
                    (step < 3 ? first : second).step(step, 1e-3, norm);
                    if (step == 2) {
                        first.save(paged ? there : here);
                        second.restore(paged ? there : here);
                    }
                }
                values.add(ops.download(adapter.parameters().getFirst().value()).toFloats());
            }
        }
        assertEquals(-1, java.nio.file.Files.mismatch(here, there), "first byte that differs in the saved moments");
        assertSameBits("values", values.get(1), values.get(0));
    }

    /** Of two steps of a training. */
    private static long peak(Ops ops, LoraAdapter adapter, TokenBatch batch, ActivationBudget budget) {
        try (AdamW optimizer = new AdamW(ops, adapter.parameters(), OptimizerConfig.defaults()); Tensor sum = ops.zeros(DType.F64, 1); Tensor norm = ops.zeros(DType.F64, 1)) {
            for (int step = 1; step <= 2; step++) {
                ops.resetPeak();
                adapter.model().forwardBackward(batch, 1, sum, 1, budget);
                ops.gradientNorm(adapter.parameters(), norm);
                optimizer.step(step, 1e-3, norm);
            }
            return ops.memory().peakBytes();
        }
    }

    private static void assertClose(String what, long predicted, long taken) {
        assertTrue(Math.abs(predicted - taken) <= TOLERANCE * taken, what + ": " + predicted + " bytes are predicted, " + taken + " were taken");
    }

    // ---- on a GPU of 10 GB that is not there

    /** An 8B model, as Llama 3's. */
    private static LoraAdapter large(Ops ops) throws IOException {
        TinyModel shape = TinyModel.llama().with("hidden_size", 4096).with("intermediate_size", 14336).with("num_hidden_layers", 32).with("num_attention_heads", 32)
                .with("num_key_value_heads", 8).with("head_dim", 128).with("vocab_size", 128256).with("max_position_embeddings", 8192);
        return LoraAdapter.create(MemoryPlanner.plannedModel(shape.config().withDtype(DType.BF16), LoadOptions.defaults(), ops), LoraConfig.defaults().withR(16), 1);
    }

    @Test
    void whatFitsIsProposed() throws IOException {
        LoraAdapter adapter = large(FEW_BYTES);
        MemoryPlanner planner = planner(adapter);
        assertEquals(ActivationBudget.keepAll(), planner.fitting(batch(true, 512)).orElseThrow().activations());
        Optional<MemoryPlan> some = planner.fitting(batch(true, 2048)), host = planner.fitting(batch(true, 2048, 2048, 2048, 2048));
        assertEquals(Place.DEVICE, some.orElseThrow().activations().place());
        assertTrue(some.get().activations().bytes() > 0, "bytes of " + some.get());
        assertEquals(Place.HOST, host.orElseThrow().activations().place());
        assertTrue(host.get().fits() && host.get().hostBytes() > 2e9, "fits: " + host.get());
        assertTrue(planner.fitting(batch(true, 60_000)).isEmpty());
        int most = planner.largestBatch(2048, 16, host.get().activations().withBytes(0));
        assertTrue(most >= 4 && most < 16, "sequences: " + most);
        assertEquals(0, planner.largestBatch(60_000, 4, ActivationBudget.keepAll()));
        assertEquals(0, FEW_BYTES.memory().bytesInUse(), "a planned model takes nothing");
    }

    @Test
    void whatDoesNotFitIsRefusedWithFigures() throws IOException {
        MemoryPlanner planner = planner(large(FEW_BYTES));
        assertTrue(planner.require(batch(true, 512), ActivationBudget.keepAll()).fits());
        assertFails(IllegalArgumentException.class, () -> planner.require(batch(true, 2048), ActivationBudget.keepAll()), "memory: a micro-batch of 1 sequences, 2048 tokens",
                "6.37 GB stay", "all activations kept, more than the 10.00 GB", "of activations kept, other layers computed again", "GB");
        assertFails(IllegalArgumentException.class, () -> planner.require(batch(true, 4000, 4000, 4000, 4000, 4000, 4000), ActivationBudget.recomputeAll()), "6 sequences, 24000 tokens",
                "every layer computed again, more than the 10.00 GB", "with every layer computed again, from the host's memory ", " of 4000 tokens fit");
        assertFails(IllegalArgumentException.class, () -> planner.require(batch(true, 90_000), ActivationBudget.recomputeAll()), "not even one sequence of 90000 tokens fits");
    }

    private static TrainingMemory memory(long bytes) throws IOException {
        return memory(bytes, Optim.ADAMW_32BIT);
    }

    private static TrainingMemory memory(long bytes, Optim optim) throws IOException {
        return new TrainingMemory(new TrainedWeights.OfAdapter(large(CudaOps.rehearsalOf(bytes)), null), OptimizerConfig.defaults().withOptim(optim));
    }

    /** Moments in the host's memory take the GPU's while they are made, and two windows from the first step on; those in 8 bits a quarter of the host's. */
    @ParameterizedTest
    @EnumSource(Optim.class)
    void momentsAreCountedWhereTheyLie(Optim optim) throws IOException {
        LoraAdapter adapter = large(FEW_BYTES);
        Rehearsal rehearsal = adapter.model().ops().rehearsal();
        long before = rehearsal.memory().bytesInUse(), elements = adapter.parameters().stream().mapToLong(parameter -> parameter.value().shape().size()).sum();
        double expected = elements * (optim.unpaged() == Optim.ADAMW_32BIT ? 8 : 2 + 8.0 / 256);
        AdamW optimizer = new TrainingMemory(new TrainedWeights.OfAdapter(adapter, null), OptimizerConfig.defaults().withOptim(optim)).optimizer(rehearsal, optim.isPaged());
        long reserved = rehearsal.memory().reservedBytes();
        step(rehearsal, optimizer);
        long onDevice = rehearsal.memory().bytesInUse() - before, onHost = rehearsal.memory().hostBytes();
        assertEquals(expected, optim.isPaged() ? onHost : onDevice, optim.isPaged() ? 64 << 20 : 0, "bytes of the moments of " + elements + " numbers");
        assertEquals(0, optim.isPaged() ? onDevice : onHost);
        assertTrue(rehearsal.memory().reservedBytes() - reserved <= 128 << 20, "the windows take " + (rehearsal.memory().reservedBytes() - reserved));
        optimizer.close();
        assertEquals(before, rehearsal.memory().bytesInUse());
    }

    /** The trainer looks at the largest micro-batch of the data before it computes anything, and puts the moments where there is room. */
    @Test
    void theTrainerRefusesBeforeTheFirstStep() throws IOException {
        List<TokenizedRow> rows = TinyModel.rows(9, 12, 1);
        TokenBatch largest = batch(true, 4096, 4096);
        ActivationBudget host = new ActivationBudget(0, Kept.INPUT, Place.HOST);
        TrainingMemory memory = memory(10_000_000_000L), tight = memory(8_250_000_000L);
        assertEquals(new TrainingMemory.Choice(host, false), memory.choose(List.of(batch(true, 30), largest), host), "as asked");
        assertEquals(new TrainingMemory.Choice(host, true), tight.choose(List.of(batch(true, 30), largest), host), "moments give way");
        assertFails(IllegalArgumentException.class, () -> memory.choose(List.of(batch(true, 30), largest), ActivationBudget.recomputeAll()), "2 sequences, 8192 tokens", "every layer computed again, more than",
                "from the host's memory takes");
        ActivationBudget fitting = memory.choose(List.of(batch(true, 30), largest), ActivationBudget.keepAll()).activations();
        assertEquals(Place.HOST, fitting.place());
        assertTrue(fitting.bytes() > 0, "all means as much as fits: " + fitting);
        assertTrue(tight.choose(List.of(batch(true, 30), largest), ActivationBudget.keepAll()).pagedMoments(), "moments give way where all is asked for");
        for (Optim optim : Optim.values()) {
            assertEquals(new TrainingMemory.Choice(host, optim.isPaged()), memory(10_000_000_000L, optim).choose(List.of(largest), host), "paged where that is asked for: " + optim);
        }
        LoraAdapter small = large(CudaOps.rehearsalOf(6_500_000_000L));
        SftTrainer trainer = new SftTrainer(new TrainedWeights.OfAdapter(small, null), rows, List.of(), SftConfig.defaults(), null);
        assertFails(IllegalArgumentException.class, () -> trainer.train(event -> {
            throw new AssertionError("heard " + event);
        }), "memory: a micro-batch of 1 sequences, " + rows.stream().mapToInt(TokenizedRow::length).max().orElseThrow() + " tokens");
    }

    private static void step(Ops ops, AdamW optimizer) {
        try (Tensor norm = ops.zeros(DType.F64, 1)) {
            optimizer.step(1, 0, norm);
        }
    }
}
