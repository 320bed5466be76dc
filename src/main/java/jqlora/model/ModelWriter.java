package jqlora.model;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import jqlora.format.BitsAndBytesConfig;
import jqlora.format.BitsAndBytesState;
import jqlora.format.CheckpointWriter;
import jqlora.format.FolderUse;
import jqlora.format.HfConfig;
import jqlora.format.TensorSource;
import jqlora.model.families.Families;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.DynamicMap;
import jqlora.quant.FourBitFormat;
import jqlora.tensor.ByteSink;
import jqlora.tensor.DType;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * Writes a model as a Hugging Face folder, tensor by tensor, so that pieces of one at most are in host memory: weights that are numbers in one dtype, weights in 4 bits as bitsandbytes stores them,
 * config.json, and the tokenizer's files copied from the folder that the model came from. Adapters are not written; merge them first.
 *
 * @param source the folder that the model was loaded from
 * @param dtype of the weights that are numbers
 */
public record ModelWriter(Path source, DType dtype) {
    private static final List<String> COPIED = List.of("generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
            "chat_template.jinja", "vocab.json", "merges.txt", "tokenizer.model", "added_tokens.json");
    private static final int CHUNK = 1 << 16;

    public ModelWriter {
        if (!dtype.isWeightType()) {
            throw new IllegalArgumentException("save: dtype is " + dtype + ", it must be F32, BF16 or F16");
        }
    }

    /**
     * Writes {@code model} into {@code folder}, which is made if it is not there.
     *
     * @throws IOException if a file cannot be written, or the folder is the one that the model came from
     * @throws IllegalArgumentException if an adapter is in force, or 4-bit weights have different formats
     */
    public void write(CausalLm model, Path folder) throws IOException {
        if (Files.isDirectory(folder) && Files.isSameFile(folder, source)) {
            throw new IOException(folder + ": is the folder that the model was loaded from, it must be another one");
        }
        FolderUse.requireForModel(folder);
        Optional<Linear> adapted = model.linears().values().stream().filter(linear -> linear.lora() != null).findFirst();
        if (adapted.isPresent()) {
            throw new IllegalArgumentException("save: " + adapted.get().name() + " has an adapter in force; merge or detach it first");
        }
        HfConfig config = config(model);                          // refused before a file is written
        List<TensorSource> tensors = new ArrayList<>();
        for (Parameter parameter : model.parameters()) {
            tensors.add(model.spec().isTransposed(parameter.name()) && parameter.value().shape().rank() == 2 ? transposed(model.ops(), parameter) : numbers(model.ops(), parameter));
        }
        for (Linear linear : model.linears().values()) {
            if (linear.weight() instanceof Weight.FourBit fourBit) {
                tensors.addAll(BitsAndBytesState.sources(linear.name() + ".weight", fourBit.format(), fourBit.shape(), parts(model.ops(), fourBit)));
            }
        }
        long parameters = model.linears().values().stream().mapToLong(linear -> linear.weight().shape().size()).sum();
        Files.createDirectories(folder);
        CheckpointWriter.write(folder, tensors, CheckpointWriter.MAX_SHARD_BYTES, parameters);
        for (String name : COPIED) {
            if (Files.isRegularFile(source.resolve(name))) {
                Files.copy(source.resolve(name), folder.resolve(name), StandardCopyOption.REPLACE_EXISTING);
            }
        }
        config.write(folder);
    }

    private TensorSource numbers(Ops ops, Parameter parameter) {
        Tensor value = parameter.value();
        return new TensorSource(parameter.name(), dtype, value.shape(), value.dtype() == dtype ? sink -> ops.download(value, sink)
                : sink -> ops.download(value, piece -> convert(value.dtype(), piece, sink)));
    }

    /** As the family's checkpoints have it. */
    private TensorSource transposed(Ops ops, Parameter parameter) {
        Shape shape = parameter.value().shape();
        return new TensorSource(parameter.name(), dtype, Shape.of(shape.dim(1), shape.dim(0)), sink -> {
            TensorView stored = StoredTensors.transposed(ops.download(parameter.value()));
            if (stored.dtype() == dtype) {
                sink.write(stored.data());
            } else {
                convert(stored.dtype(), stored.data(), sink);
            }
        });
    }

    private void convert(DType from, MemorySegment piece, ByteSink sink) throws IOException {
        float[] floats = new float[CHUNK];
        MemorySegment bytes = MemorySegment.ofArray(new byte[CHUNK * dtype.bytes()]);
        long elements = piece.byteSize() / from.bytes();
        for (long at = 0; at < elements; at += CHUNK) {
            int count = (int) Math.min(CHUNK, elements - at);
            FloatConversion.toFloats(from, piece, at, floats, 0, count);
            FloatConversion.fromFloats(floats, 0, count, dtype, bytes, 0);
            sink.write(bytes.asSlice(0, (long) count * dtype.bytes()));
        }
    }

    private static BitsAndBytesState.Parts parts(Ops ops, Weight.FourBit weight) {
        return new BitsAndBytesState.Parts(sink -> ops.download(weight.codes(), sink), sink -> ops.download(weight.absmax(), sink),
                sink -> ops.download(weight.nestedAbsmax(), sink), weight.offset(), DynamicMap.signed());
    }

    private HfConfig config(CausalLm model) throws IOException {
        HfConfig stored = HfConfig.read(source).withDtype(dtype).without("_name_or_path");   // the weights are no longer those that it names
        HfConfig config = Families.read(stored).tieWordEmbeddings() == model.spec().tieWordEmbeddings() ? stored
                : stored.with("tie_word_embeddings", model.spec().tieWordEmbeddings());
        List<FourBitFormat> formats = formats(model);
        if (formats.isEmpty()) {
            return config.withoutQuantization();
        }
        if (formats.size() > 1) {
            throw new IllegalArgumentException("save: the 4-bit weights have different formats, " + formats + "; a config.json can name one only. Load"
                    + " the checkpoint's numbers with one quantization, or merge by ONTO_BASE, which gives numbers");
        }
        FourBitFormat format = formats.getFirst();
        Stream<String> numbers = model.linears().values().stream().filter(linear -> !(linear.weight() instanceof Weight.FourBit)).map(Linear::name);
        // the module that GPT-NeoX's files call embed_out is lm_head in transformers 5
        List<String> skipped = numbers.flatMap(name -> name.equals("embed_out") ? Stream.of(name, "lm_head") : Stream.of(name)).toList();
        return config.withQuantization(BitsAndBytesConfig.defaults().withQuantType(format.type()).withDoubleQuantization(format.doubleQuantization())
                .withComputeDtype(dtype).withSkipModules(skipped));
    }

    /** The formats of the weights that are in 4 bits, apart from what they are decoded to; a folder can have one. */
    static List<FourBitFormat> formats(CausalLm model) {
        return model.linears().values().stream().map(Linear::weight).filter(weight -> weight instanceof Weight.FourBit)
                .map(weight -> ((Weight.FourBit) weight).format().withDtype(DType.F32)).distinct().toList();
    }
}
