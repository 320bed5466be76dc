package jqlora.cli;

import java.util.function.Consumer;
import jqlora.device.Device;
import jqlora.device.Nvidia;
import jqlora.generate.GenerationConfig;
import jqlora.lora.LoraConfig;
import jqlora.model.LoadOptions;
import jqlora.ops.Ops;
import jqlora.ops.cpu.CpuOptions;
import jqlora.train.LearningRate;
import jqlora.train.SftConfig;

/** All that {@code train} was told, as the library's own records. */
record TrainSettings(String model, LoadOptions load, LoraConfig lora, DataSettings data, SftConfig sft, RunSettings run,
        GenerationConfig generation, Machine machine) {
    /** The model that ships with jqlora. */
    static final String EMBEDDED = "jqlora-tiny";

    /** Where to compute. */
    record Machine(Device device, CpuOptions processor, Nvidia nvidia) {
        Ops open(Consumer<String> note) {
            return device.open(processor, nvidia, note);
        }
    }

    /**
     * The training with {@code rows} rows: their number settles the steps, and with them those of the warm-up, rounded up as in
     * transformers.
     */
    SftConfig sftOf(int rows) {
        LearningRate rate = sft.learningRate();
        int warmup = rate.type() == LearningRate.Type.CONSTANT ? 0 : (int) Math.ceil(run.warmupRatio() * sft.totalSteps(rows));
        return sft.withLearningRate(new LearningRate(rate.type(), rate.peak(), warmup));
    }
}
