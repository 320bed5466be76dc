package jqlora.train;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import jqlora.TinyModel;
import jqlora.data.BatchPlan;
import jqlora.data.TokenizedRow;
import jqlora.format.JsonFileException;
import jqlora.format.SafetensorsException;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.lora.RankPatterns;
import jqlora.lora.TargetLimits;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.ModelLoader;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A run that was stopped ends as one that was not; a checkpoint of another run is refused. */
class ResumeTest {
    private static final SmallRun ADAPTER = new SmallRun(false), FULL = new SmallRun(true);

    private static CpuOps ops;

    @TempDir
    private static Path shared;
    private static TrainResult adapterResult, fullResult;

    @TempDir
    private Path output;

    @BeforeAll
    static void open() throws IOException {
        ops = CpuOps.create();
        adapterResult = ADAPTER.go(ops, shared.resolve("false"), TrainListener.SILENT);
        fullResult = FULL.go(ops, shared.resolve("true"), TrainListener.SILENT);
    }

    @AfterAll
    static void close() {
        assertEquals(0, ops.memory().bytesInUse(), "bytes in use after all runs");
        ops.close();
    }

    private void assertSame(SmallRun run, TrainResult result) throws IOException {
        run.assertSame(shared.resolve(String.valueOf(run.full())), run.full() ? fullResult : adapterResult, output, result);
    }

    /** Ends the run after step {@code step}; its checkpoint is then the newest. */
    private void stopAfter(SmallRun run, int step) throws IOException {
        TrainResult part = run.go(ops, output, event -> {
            if (event instanceof TrainEvent.StepEnd end && end.step() == step) {
                Thread.currentThread().interrupt();
            }
        });
        assertTrue(Thread.interrupted(), "the interrupt flag after the run");
        assertTrue(part.interrupted());
        assertEquals(step, part.steps().size());
    }

    /** With moments in 8 bits, those of matrices, and in 32 those of norms and embeddings; and a run with the one is no run with the other; one whose
     * moments are paged goes on with one whose are not. */
    @Test
    void momentsIn8Bits() throws IOException {
        UnaryOperator<SftConfig> in8Bits = config -> config.withOptimizer(config.optimizer().withOptim(Optim.ADAMW_8BIT));
        Path whole = output.resolve("whole"), stopped = output.resolve("stopped");
        TrainResult expected = FULL.go(ops, whole, TrainListener.SILENT, in8Bits);
        FULL.go(ops, stopped, event -> {
            if (event instanceof TrainEvent.StepEnd end && end.step() == 3) {
                Thread.currentThread().interrupt();
            }
        }, in8Bits);
        assertTrue(Thread.interrupted());
        assertFails(JsonFileException.class, () -> FULL.go(ops, stopped, TrainListener.SILENT), "is a checkpoint of another run: optimizer was OptimizerConfig[optim=ADAMW_8BIT", "now it is OptimizerConfig[optim=ADAMW_32BIT");
        UnaryOperator<SftConfig> paged = config -> config.withOptimizer(config.optimizer().withOptim(Optim.PAGED_ADAMW_8BIT));
        FULL.assertSame(whole, expected, stopped, FULL.go(ops, stopped, TrainListener.SILENT, paged));
    }

    // ---- what a kill can leave

    /** What lies in the output folder after a kill at one moment of writing checkpoint 7, or of removing checkpoint 5, or of writing the result. */
    enum Kill {
        BEFORE_THE_FIRST_FILE {
            @Override
            void leave(SmallRun run, Path output) throws IOException {
                Files.createDirectory(output.resolve(".partial-checkpoint-7"));
            }
        },
        IN_THE_FIRST_FILE {
            @Override
            void leave(SmallRun run, Path output) throws IOException {
                Path partial = Files.createDirectory(output.resolve(".partial-checkpoint-7"));
                byte[] weights = Files.readAllBytes(output.resolve("checkpoint-6").resolve(run.weightsFile()));
                Files.write(partial.resolve("." + run.weightsFile() + ".6a2f40a6-8b6c-4d3c-b3cc-5e3b7ae9e9a1.tmp"), java.util.Arrays.copyOf(weights, weights.length / 2));
            }
        },
        BEFORE_THE_STATE {
            @Override
            void leave(SmallRun run, Path output) throws IOException {
                copy(output.resolve("checkpoint-6"), output.resolve(".partial-checkpoint-7"));
                Files.delete(output.resolve(".partial-checkpoint-7/trainer_state.json"));
            }
        },
        BEFORE_THE_RENAME {
            @Override
            void leave(SmallRun run, Path output) throws IOException {
                copy(output.resolve("checkpoint-6"), output.resolve(".partial-checkpoint-7"));
            }
        },
        /** The newest is renamed, the oldest is on its way out. */
        IN_THE_REMOVAL_OF_THE_OLDEST {
            @Override
            void leave(SmallRun run, Path output) throws IOException {
                Path doomed = output.resolve(".partial-old-checkpoint-5");
                Files.move(output.resolve("checkpoint-5"), doomed);
                Files.delete(doomed.resolve("optimizer.safetensors"));
            }
        },
        /** Only an older checkpoint is left, and both folders of the newest under other names. */
        BETWEEN_THE_RENAMES {
            @Override
            void leave(SmallRun run, Path output) throws IOException {
                copy(output.resolve("checkpoint-6"), output.resolve(".partial-checkpoint-6"));
                Files.move(output.resolve("checkpoint-6"), output.resolve(".partial-old-checkpoint-6"));
            }
        },
        IN_THE_RESULT {
            @Override
            void leave(SmallRun run, Path output) throws IOException {
                Files.write(output.resolve("." + run.weightsFile() + ".0b9e7e0c-97b2-4b55-8f0e-0d3a7c1f7c11.tmp"), new byte[100]);
                Files.write(output.resolve(".adapter_config.json.1c9e7e0c-97b2-4b55-8f0e-0d3a7c1f7c11.tmp"), new byte[10]);
            }
        };

        abstract void leave(SmallRun run, Path output) throws IOException;

        static void copy(Path folder, Path target) throws IOException {
            Files.createDirectory(target);
            for (String name : SmallRun.names(folder)) {
                Files.copy(folder.resolve(name), target.resolve(name));
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatAKillLeavesIsRemovedAndTheRunEndsAsIfUninterrupted(Kill kill) throws IOException {
        stopAfter(ADAPTER, 6);
        kill.leave(ADAPTER, output);
        assertSame(ADAPTER, ADAPTER.go(ops, output, TrainListener.SILENT));
    }

    @ParameterizedTest
    @EnumSource(names = {"IN_THE_FIRST_FILE", "BETWEEN_THE_RENAMES", "IN_THE_RESULT"})
    void alsoWhenTheWholeModelIsTrained(Kill kill) throws IOException {
        stopAfter(FULL, 6);
        kill.leave(FULL, output);
        assertSame(FULL, FULL.go(ops, output, TrainListener.SILENT));
    }

    @Test
    void aRunKilledBeforeItsFirstCheckpointBeginsAgain() throws IOException {
        Files.createDirectories(output.resolve(".partial-checkpoint-1"));
        assertSame(ADAPTER, ADAPTER.go(ops, output, TrainListener.SILENT));
    }

    @Test
    void aFinishedRunGivesItsResultAgain() throws IOException {
        Kill.copy(shared.resolve("false/checkpoint-" + SmallRun.STEPS), output.resolve("checkpoint-" + SmallRun.STEPS));
        Kill.copy(shared.resolve("false/checkpoint-" + (SmallRun.STEPS - 1)), output.resolve("checkpoint-" + (SmallRun.STEPS - 1)));
        assertSame(ADAPTER, ADAPTER.go(ops, output, TrainListener.SILENT));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 5, 7})
    void stoppedTwice(int step) throws IOException {
        stopAfter(ADAPTER, step);
        if (step < 7) {
            stopAfter(ADAPTER, 7);
        }
        assertSame(ADAPTER, ADAPTER.go(ops, output, TrainListener.SILENT));
    }

    /** How activations are kept, and when checkpoints and evaluations are due, changes no bit of the weights. */
    @Test
    void goesOnWithAnotherActivationBudgetAndOtherSaveSteps() throws IOException {
        stopAfter(ADAPTER, 4);
        TrainResult result = ADAPTER.go(ops, output, TrainListener.SILENT, config -> config.withActivations(ActivationBudget.recomputeAll()).withCheckpoints(new CheckpointConfig(0, 1, 3)));
        assertEquals(List.of("adapter_config.json", "adapter_model.safetensors", "checkpoint-8"), SmallRun.names(output));
        Kill.copy(shared.resolve("false/checkpoint-7"), output.resolve("checkpoint-7"));
        assertSame(ADAPTER, result);
    }

    // ---- checkpoints of another run

    static Stream<Arguments> otherSettings() {
        return Stream.of(settings("learning_rate", "1.0E-4", config -> config.withLearningRate(1e-4)),
                settings("learning_rate", "LINEAR", config -> config.withLearningRate(new LearningRate(LearningRate.Type.LINEAR, 1e-2, 2))),
                settings("seed", "6", config -> config.withSeed(6)),
                settings("batches", "perDeviceTrainBatchSize=4", config -> config.withBatches(config.batches().withPerDeviceTrainBatchSize(4))),
                settings("batches", "LEGACY", config -> config.withBatches(config.batches().withNormalization(BatchConfig.Normalization.LEGACY))),
                settings("batches", "AS_GIVEN", config -> config.withBatches(config.batches().withOrder(BatchPlan.Order.AS_GIVEN))),
                settings("optimizer", "weightDecay=0.5", config -> config.withOptimizer(config.optimizer().withWeightDecay(0.5))),
                settings("max_steps", "9", config -> config.withMaxSteps(9)),
                settings("eval_steps", "2", config -> config.withCheckpoints(config.checkpoints().withEvalSteps(2))));
    }

    private static Arguments settings(String key, String now, UnaryOperator<SftConfig> change) {
        return Arguments.of(key, now, change);
    }

    @ParameterizedTest
    @MethodSource("otherSettings")
    void otherSettingsAreRefused(String key, String now, UnaryOperator<SftConfig> change) throws IOException {
        stopAfter(ADAPTER, 1);
        assertFails(JsonFileException.class, () -> ADAPTER.go(ops, output, TrainListener.SILENT, change), output.resolve("checkpoint-1").toString(),
                "is a checkpoint of another run: " + key + " was ", now, "take another output folder");
    }

    private void goOn(List<TokenizedRow> rows, LoadOptions options, LoraConfig lora) throws IOException {
        try (CausalLm model = SmallRun.model(ops, options); LoraAdapter adapter = LoraAdapter.create(model, lora, 3)) {
            new SftTrainer(new TrainedWeights.OfAdapter(adapter, null), rows, SmallRun.heldOut(), SmallRun.config(), output).train(TrainListener.SILENT);
        }
    }

    @Test
    void otherRowsAreRefused() throws IOException {
        stopAfter(ADAPTER, 1);
        for (List<TokenizedRow> rows : List.of(TinyModel.rows(19, 24, 13), SmallRun.rows().subList(1, 19), SmallRun.rows().reversed())) {
            assertFails(JsonFileException.class, () -> goOn(rows, LoadOptions.defaults(), SmallRun.lora()), "rows was 19 rows, sha256 ", ", now it is " + rows.size() + " rows");
        }
    }

    @Test
    void otherArithmeticIsRefused() throws IOException {
        stopAfter(ADAPTER, 1);
        String fp8 = "BF16, products with 4-bit weights in FP8 (e4m3)";
        Ops other = (Ops) Proxy.newProxyInstance(Ops.class.getClassLoader(), new Class<?>[] {Ops.class},
                (proxy, method, arguments) -> method.getName().equals("arithmetic") ? fp8 : method.invoke(ops, arguments));
        assertFails(JsonFileException.class, () -> ADAPTER.go(other, output, TrainListener.SILENT, config -> config), "arithmetic was F32, now it is " + fp8);
    }

    @Test
    void anotherAdapterIsRefused() throws IOException {
        stopAfter(ADAPTER, 1);
        for (LoraConfig lora : List.of(SmallRun.lora().withR(2), SmallRun.lora().withLoraAlpha(16), SmallRun.lora().withLoraDropout(0.2f), SmallRun.lora().withUseRslora(true),
                SmallRun.lora().withTargetModules("k_proj", "v_proj", "down_proj"),
                SmallRun.lora().withLimits(TargetLimits.none().withLayersToTransform(List.of(1))), SmallRun.lora().withPatterns(new RankPatterns(Map.of(), Map.of("v_proj", 16.0))))) {
            assertFails(JsonFileException.class, () -> goOn(SmallRun.rows(), LoadOptions.defaults(), lora), "trained was r 4, alpha 8, dropout 0.1, q_proj, v_proj, down_proj", "now it is " + lora);
        }
    }

    @Test
    void anotherBaseIsRefused() throws IOException {
        stopAfter(ADAPTER, 1);
        for (FourBitFormat format : new FourBitFormat[] {null, FourBitFormat.defaults().withType(FourBitType.FP4), FourBitFormat.defaults().withDoubleQuantization(false)}) {
            assertFails(JsonFileException.class, () -> goOn(SmallRun.rows(), LoadOptions.defaults().withQuantization(format), SmallRun.lora()), "model was llama, 2 layers, hidden 64 in nf4, blocks of 64, double quantization, decoded to F32 and F32, now it is llama");
        }
    }

    private static final LoadOptions PLAIN = LoadOptions.asStored();

    /** A run of three steps on the model in {@code base} into {@link #output}, with what {@code change} does to the adapter first. */
    private TrainResult onBase(Path base, List<TokenizedRow> heldOut, UnaryOperator<SftConfig> config, Change change) throws IOException {
        try (CausalLm model = ModelLoader.load(base, PLAIN, ops, LoadListener.SILENT)) {
            change.merge(model);
            try (LoraAdapter adapter = LoraAdapter.create(model, SmallRun.lora(), 3)) {
                change.adapter(adapter);
                SftConfig three = config.apply(SmallRun.config().withMaxSteps(3));
                return new SftTrainer(new TrainedWeights.OfAdapter(adapter, null), SmallRun.rows(), heldOut, three, output.resolve("run")).train(TrainListener.SILENT);
            }
        }
    }

    /** What is done before a run. */
    private interface Change {
        Change NOTHING = adapter -> { };

        void adapter(LoraAdapter adapter) throws IOException;

        default void merge(CausalLm model) throws IOException { }
    }

    private void assertRefused(Path base, String message, Change change) {
        assertFails(JsonFileException.class, () -> onBase(base, SmallRun.heldOut(), config -> config, change), output.resolve("run/checkpoint-3").toString(),
                "is a checkpoint of another run: " + message, "take another output folder", "overwrite");
    }

    /** The same shape with other weights, other positions, another start of the adapter, another adapter merged in before: each is another run. */
    @Test
    void otherWeightsAreRefused() throws IOException {
        Path one = TinyModel.llama().write(output.resolve("one"), DType.F32, 1, ops), two = TinyModel.llama().write(output.resolve("two"), DType.F32, 2, ops);
        Path turned = TinyModel.llama().with("rope_parameters", Map.of("rope_theta", 77.0, "rope_type", "default")).write(output.resolve("turned"), DType.F32, 1, ops);
        String first = SmallRun.history(onBase(one, SmallRun.heldOut(), config -> config, Change.NOTHING));
        assertEquals(first, SmallRun.history(onBase(one, SmallRun.heldOut(), config -> config, Change.NOTHING)), "a finished run gives its result again");
        assertRefused(two, "base was ", Change.NOTHING);
        assertRefused(turned, "attention was ", Change.NOTHING);
        assertRefused(one, "start was ", adapter -> ops.fillZero(adapter.parameters().getFirst().value()));
        assertRefused(one, "base was ", new Change() {
            @Override
            public void adapter(LoraAdapter adapter) { }

            @Override
            public void merge(CausalLm model) throws IOException {
                try (LoraAdapter other = LoraAdapter.create(model, SmallRun.lora(), 9)) {
                    for (Parameter parameter : other.parameters()) {
                        float[] ones = new float[Math.toIntExact(parameter.value().shape().size())];
                        java.util.Arrays.fill(ones, 0.01f);
                        try (Tensor values = ops.upload(TensorView.ofFloats(ones, parameter.value().shape().dim(0), parameter.value().shape().dim(1)))) {
                            ops.copyInto(parameter.value(), values);
                        }
                    }
                    Merger.withoutOriginal().merge(other, MergeRoute.ONTO_BASE).close();
                }
            }
        });
        assertFails(JsonFileException.class, () -> onBase(one, SmallRun.heldOut().subList(0, 3), config -> config, Change.NOTHING), "held_out was 4 rows, sha256 ", "now it is 3 rows");
        assertEquals(first, SmallRun.history(onBase(one, SmallRun.heldOut(), config -> config.withCheckpoints(config.checkpoints().withSaveSteps(2)), Change.NOTHING)));
    }

    /** With overwrite another run begins again, as in a new folder, and leaves nothing of the one before; the same run is gone on with. */
    @Test
    void overwriteBeginsAgain() throws IOException {
        Path one = TinyModel.llama().write(output.resolve("one"), DType.F32, 1, ops), two = TinyModel.llama().write(output.resolve("two"), DType.F32, 2, ops);
        String expected = SmallRun.history(onBase(two, SmallRun.heldOut(), config -> config, Change.NOTHING));
        byte[] weights = Files.readAllBytes(output.resolve("run/adapter_model.safetensors"));
        Files.move(output.resolve("run"), output.resolve("expected"));
        onBase(one, SmallRun.heldOut(), config -> config, Change.NOTHING);
        assertEquals(expected, SmallRun.history(onBase(two, SmallRun.heldOut(), config -> config.withOverwrite(true), Change.NOTHING)));
        org.junit.jupiter.api.Assertions.assertArrayEquals(weights, Files.readAllBytes(output.resolve("run/adapter_model.safetensors")));
        assertEquals(SmallRun.names(output.resolve("expected")), SmallRun.names(output.resolve("run")));
        long written = Files.getLastModifiedTime(output.resolve("run/checkpoint-3")).toMillis();
        assertEquals(expected, SmallRun.history(onBase(two, SmallRun.heldOut(), config -> config.withOverwrite(true), Change.NOTHING)));
        assertEquals(written, Files.getLastModifiedTime(output.resolve("run/checkpoint-3")).toMillis(), "the finished run is not run again");
    }

    /** A checkpoint as earlier versions wrote it, without what they did not know. */
    @Test
    void aFolderThatTheResultCannotGoToIsRefusedBeforeTheFirstStep() throws IOException {
        Files.writeString(output.resolve("model.safetensors"), "");
        List<TrainEvent> heard = new ArrayList<>();
        assertFails(IOException.class, () -> ADAPTER.go(ops, output, heard::add), output + ": holds a model (model.safetensors)");
        Files.writeString(output.resolve("adapter_config.json"), "{}");
        assertFails(IOException.class, () -> FULL.go(ops, output, heard::add), output + ": holds an adapter (adapter_config.json)");
        assertFails(IOException.class, () -> ADAPTER.go(ops, output.resolve("model.safetensors/run"), heard::add), "cannot be made");
        assertEquals(List.of(), heard);
    }

    @Test
    void aCheckpointOfAnEarlierVersionIsRefusedWithWhatWouldDo() throws IOException {
        stopAfter(ADAPTER, 1);
        Path state = output.resolve("checkpoint-1/trainer_state.json");
        Files.writeString(state, Files.readString(state).replaceAll("\"(base|start|held_out|attention|layers|eval_steps|weights)\": (\"[^\"]*\"|\\d+),?\\s*", "").replaceAll(",(\\s*})", "$1"));
        assertFails(JsonFileException.class, () -> ADAPTER.go(ops, output, TrainListener.SILENT), "does not say of which run it is", "earlier version", "base, start, held_out",
                "take another output folder", "overwrite");
    }

    /** The cell that failed is run again with the adapter as it is: the weights are those of the newest checkpoint, and the run ends as one that never failed. */
    @ParameterizedTest
    @ValueSource(ints = {3, 4})
    void aRunThatFailedGoesOnWithTheSameAdapter(int failing) throws IOException {
        TrainResult result = ADAPTER.onFreshWeights(ops, weights -> {
            UnaryOperator<SftConfig> rarely = config -> config.withCheckpoints(new CheckpointConfig(2, 2, 3));
            SftTrainer trainer = new SftTrainer(weights, SmallRun.rows(), SmallRun.heldOut(), rarely.apply(SmallRun.config()), output);
            assertFails(IllegalStateException.class, () -> trainer.train(event -> {
                if (event instanceof TrainEvent.StepEnd end && end.step() == failing) {
                    throw new IllegalStateException("stopped by the listener");
                }
            }), "stopped by the listener");
            return new SftTrainer(weights, SmallRun.rows(), SmallRun.heldOut(), SmallRun.config(), output).train(TrainListener.SILENT);
        });
        assertSame(ADAPTER, result);
    }

    /** Whoever listens, and whether anyone does, settles nothing. */
    @Test
    void anotherListenerGoesOn() throws IOException {
        stopAfter(ADAPTER, 3);
        List<TrainEvent> heard = new java.util.ArrayList<>();
        TrainListener loud = heard::add;
        assertSame(ADAPTER, ADAPTER.go(ops, output, loud.and(TrainListener.SILENT)));
        assertFalse(heard.isEmpty());
    }

    /** A disk that is full in the middle of a checkpoint: the file is named, nothing is left of the checkpoint, the one before is whole, and the run goes on when there is room. */
    @Test
    void aFullDiskLeavesTheCheckpointBefore() throws IOException {
        stopAfter(ADAPTER, 2);
        List<String> before = SmallRun.names(output);
        CheckpointFolder folder = new CheckpointFolder(output);
        assertFails(IOException.class, () -> folder.write(3, 2, target -> jqlora.format.PendingFile.write(target.resolve("optimizer.safetensors"), 4096, channel -> {
            channel.write(java.nio.ByteBuffer.allocate(100));
            throw new IOException("No space left on device");
        }).close()), "optimizer.safetensors: could not be written: No space left on device", "make room on the disk");
        assertEquals(before, SmallRun.names(output));
        assertSame(ADAPTER, ADAPTER.go(ops, output, TrainListener.SILENT));
    }

    @Test
    void aDamagedCheckpointIsRefusedByName() throws IOException {
        stopAfter(ADAPTER, 2);
        Path newest = output.resolve("checkpoint-2");
        byte[] moments = Files.readAllBytes(newest.resolve("optimizer.safetensors"));
        Files.write(newest.resolve("optimizer.safetensors"), java.util.Arrays.copyOf(moments, moments.length - 4));
        assertFails(SafetensorsException.class, () -> ADAPTER.go(ops, output, TrainListener.SILENT), newest.resolve("optimizer.safetensors").toString());
        Files.delete(newest.resolve("trainer_state.json"));
        assertFails(JsonFileException.class, () -> ADAPTER.go(ops, output, TrainListener.SILENT), newest.resolve("trainer_state.json") + ": does not exist");
    }

    /** The rank is checked before the weights are read, but a file may have been put there by hand. */
    @Test
    void aTensorOfAnotherShapeIsRefused() throws IOException {
        stopAfter(ADAPTER, 1);
        goOnInto(output.resolve("other"));
        Path target = output.resolve("checkpoint-1/adapter_model.safetensors");
        Files.delete(target);
        Files.copy(output.resolve("other/checkpoint-8/adapter_model.safetensors"), target);
        assertFails(SafetensorsException.class, () -> ADAPTER.go(ops, output, TrainListener.SILENT), target.toString(),
                "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "[2, 64]", "for this run it must be F32 [4, 64]");
    }

    private void goOnInto(Path other) throws IOException {
        try (CausalLm model = SmallRun.model(ops, LoadOptions.defaults()); LoraAdapter adapter = LoraAdapter.create(model, SmallRun.lora().withR(2), 3)) {
            new SftTrainer(new TrainedWeights.OfAdapter(adapter, null), SmallRun.rows(), List.of(), SmallRun.config().withCheckpoints(new CheckpointConfig(0, 1, 0)), other).train(TrainListener.SILENT);
        }
    }

    // ---- the same objects again

    @Test
    void trainingAgainWithTheSameTrainerGoesOnAndReportsEachStepOnce() throws IOException {
        TrainResult result = ADAPTER.onFreshWeights(ops, weights -> {
            SftTrainer trainer = new SftTrainer(weights, SmallRun.rows(), SmallRun.heldOut(), SmallRun.config(), output);
            assertTrue(trainer.train(event -> {
                if (event instanceof TrainEvent.StepEnd end && end.step() == 5) {
                    Thread.currentThread().interrupt();
                }
            }).interrupted());
            assertTrue(Thread.interrupted());
            return trainer.train(TrainListener.SILENT);
        });
        assertFalse(result.interrupted());
        assertSame(ADAPTER, result);
    }
}
