package jqlora.model;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import jqlora.RandomAdapter;
import jqlora.TinyModel;
import jqlora.format.Checkpoint;
import jqlora.format.CheckpointWriter;
import jqlora.format.HfConfig;
import jqlora.format.TensorSource;
import jqlora.lora.LoraAdapter;
import jqlora.lora.LoraConfig;
import jqlora.lora.MergeRoute;
import jqlora.lora.Merger;
import jqlora.ops.cpu.CpuOps;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The same weights have the same fingerprint; other bytes, names, types or ways of keeping them have another. */
class WeightsFingerprintTest {
    private static CpuOps ops;

    @TempDir
    private static Path shared;
    private static Path folder;

    @BeforeAll
    static void write() throws IOException {
        ops = CpuOps.create();
        folder = TinyModel.llama().write(shared.resolve("base"), DType.BF16, 5, ops);
    }

    @AfterAll
    static void close() {
        ops.close();
    }

    private static WeightsFingerprint fingerprint(Path from, LoadOptions options) throws IOException {
        try (CausalLm model = ModelLoader.load(from, options, ops, LoadListener.SILENT)) {
            return model.fingerprint();
        }
    }

    @Test
    void shardsDoNotMatter() throws IOException {
        Path sharded = Files.createDirectories(shared.resolve("sharded"));
        Files.copy(folder.resolve(HfConfig.FILE), sharded.resolve(HfConfig.FILE));
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            List<TensorSource> tensors = new ArrayList<>();
            for (String name : checkpoint.names()) {
                tensors.add(TensorSource.of(name, checkpoint.get(name)));
            }
            CheckpointWriter.write(sharded, tensors.reversed(), 60_000, 1);
        }
        assertEquals(fingerprint(folder, LoadOptions.defaults()), fingerprint(sharded, LoadOptions.defaults()));
    }

    @Test
    void whatIsKeptDifferentlyDiffers() throws IOException {
        Set<WeightsFingerprint> prints = new LinkedHashSet<>();
        List<LoadOptions> all = List.of(LoadOptions.defaults(), LoadOptions.asStored(), LoadOptions.asStored().withDtype(DType.F16),
                LoadOptions.defaults().withQuantization(FourBitFormat.defaults().withType(FourBitType.FP4)),
                LoadOptions.defaults().withQuantization(FourBitFormat.defaults().withBlockSize(128)),
                LoadOptions.defaults().withQuantization(FourBitFormat.defaults().withDoubleQuantization(false)),
                LoadOptions.defaults().withSkipModules(List.of("v_proj")));
        for (LoadOptions options : all) {
            prints.add(fingerprint(folder, options));
            assertEquals(fingerprint(folder, options), fingerprint(folder, options));
        }
        assertEquals(all.size(), prints.size());
    }

    @Test
    void oneBitOfAnyTensorMatters() throws IOException {
        WeightsFingerprint before = fingerprint(folder, LoadOptions.asStored());
        Path other = Files.createDirectories(shared.resolve("other"));
        Files.copy(folder.resolve(HfConfig.FILE), other.resolve(HfConfig.FILE));
        byte[] file = Files.readAllBytes(folder.resolve(Checkpoint.SINGLE));
        file[file.length - 2] ^= 1;
        Files.write(other.resolve(Checkpoint.SINGLE), file);
        assertNotEquals(before, fingerprint(other, LoadOptions.asStored()));
        assertNotEquals(before, fingerprint(TinyModel.llama().write(shared.resolve("seed"), DType.BF16, 6, ops), LoadOptions.asStored()));
    }

    @Test
    void aMergeChangesItAndUnmergingBringsItBack() throws IOException {
        try (CausalLm model = ModelLoader.load(folder, LoadOptions.defaults(), ops, LoadListener.SILENT)) {
            WeightsFingerprint before = model.fingerprint();
            LoraAdapter adapter = RandomAdapter.create(model, LoraConfig.defaults().withR(4).withTargetModules("q_proj"), 0.1, 1);
            assertEquals(before, model.fingerprint(), "an adapter in force is no part of it");
            try (Merger.Merged merged = Merger.withoutOriginal().merge(adapter, MergeRoute.STOCHASTIC_4BIT)) {
                WeightsFingerprint after = model.fingerprint();
                assertNotEquals(before, after);
                assertEquals(after, model.fingerprint());
                merged.unmerge();
            }
            assertEquals(before, model.fingerprint());
            adapter.close();
        }
    }

    @Test
    void trainedParametersCountAsTheyWereLoaded() throws IOException {
        try (CausalLm model = ModelLoader.load(folder, LoadOptions.fullFineTuning(), ops, LoadListener.SILENT)) {
            WeightsFingerprint before = model.fingerprint(), values = WeightsFingerprint.ofValues(ops, model.parameters());
            ops.fillZero(model.embedTokens().value());
            assertEquals(before, model.fingerprint());
            assertNotEquals(values, WeightsFingerprint.ofValues(ops, model.parameters()));
        }
    }

    @Test
    void randomWeightsHaveOneAndAPlanHasNone() throws IOException {
        HfConfig config = TinyModel.llama().config();
        try (CausalLm one = ModelLoader.initialize(config, 1, ops); CausalLm same = ModelLoader.initialize(config, 1, ops);
                CausalLm two = ModelLoader.initialize(config, 2, ops)) {
            assertEquals(one.fingerprint(), same.fingerprint());
            assertNotEquals(one.fingerprint(), two.fingerprint());
            WeightsFingerprint values = WeightsFingerprint.ofValues(ops, one.parameters());
            assertEquals(values, WeightsFingerprint.ofValues(ops, same.parameters()));
            assertNotEquals(values, WeightsFingerprint.ofValues(ops, two.parameters()));
        }
        CausalLm plan = MemoryPlanner.plannedModel(config, LoadOptions.defaults(), ops);
        assertFails(IllegalStateException.class, plan::fingerprint, "only planned");
    }
}
