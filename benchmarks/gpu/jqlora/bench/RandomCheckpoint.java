package jqlora.bench;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import jqlora.format.CheckpointWriter;
import jqlora.format.HfConfig;
import jqlora.format.TensorSource;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/** A Llama's folder with random bfloat16 weights in shards of five gigabytes, the same few million numbers again and again. */
final class RandomCheckpoint {
    private static final long SHARD = 5_000_000_000L;
    private static final int NUMBERS = 1 << 22;

    private RandomCheckpoint() { }

    /** Writes it unless it is there. */
    static void write(Path folder, HfConfig config) throws IOException {
        if (Files.exists(folder.resolve("config.json"))) {
            return;
        }
        long began = System.nanoTime();
        MemorySegment numbers = MemorySegment.ofArray(new byte[2 * NUMBERS]), ones = MemorySegment.ofArray(new byte[2 * NUMBERS]);
        Random random = new Random(1);
        for (int i = 0; i < NUMBERS; i++) {
            numbers.set(TensorView.SHORT, 2L * i, FloatConversion.toBf16((float) (0.02 * random.nextGaussian())));
            ones.set(TensorView.SHORT, 2L * i, FloatConversion.toBf16(1));
        }
        int hidden = config.values().positive("hidden_size"), vocab = config.values().positive("vocab_size"), intermediate = config.values().positive("intermediate_size");
        int keys = config.values().positive("num_key_value_heads") * config.values().positive("head_dim");
        List<TensorSource> tensors = new ArrayList<>();
        tensors.add(tensor("model.embed_tokens.weight", numbers, vocab, hidden));
        for (int i = 0; i < config.values().positive("num_hidden_layers"); i++) {
            String layer = "model.layers." + i + ".";
            tensors.add(tensor(layer + "input_layernorm.weight", ones, hidden));
            tensors.add(tensor(layer + "self_attn.q_proj.weight", numbers, hidden, hidden));
            tensors.add(tensor(layer + "self_attn.k_proj.weight", numbers, keys, hidden));
            tensors.add(tensor(layer + "self_attn.v_proj.weight", numbers, keys, hidden));
            tensors.add(tensor(layer + "self_attn.o_proj.weight", numbers, hidden, hidden));
            tensors.add(tensor(layer + "post_attention_layernorm.weight", ones, hidden));
            tensors.add(tensor(layer + "mlp.gate_proj.weight", numbers, intermediate, hidden));
            tensors.add(tensor(layer + "mlp.up_proj.weight", numbers, intermediate, hidden));
            tensors.add(tensor(layer + "mlp.down_proj.weight", numbers, hidden, intermediate));
        }
        tensors.add(tensor("model.norm.weight", ones, hidden));
        tensors.add(tensor("lm_head.weight", numbers, vocab, hidden));
        long elements = tensors.stream().mapToLong(tensor -> tensor.shape().size()).sum();
        CheckpointWriter.write(folder, tensors, SHARD, elements);
        config.write(folder);
        System.out.printf("%s: %.2f GB written in %.1f s%n", folder, 2e-9 * elements, (System.nanoTime() - began) / 1e9);
    }

    private static TensorSource tensor(String name, MemorySegment numbers, long... dims) {
        Shape shape = Shape.of(dims);
        return new TensorSource(name, DType.BF16, shape, sink -> {
            for (long left = 2 * shape.size(); left > 0; left -= numbers.byteSize()) {
                sink.write(numbers.asSlice(0, Math.min(left, numbers.byteSize())));
            }
        });
    }
}
