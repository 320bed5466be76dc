package jqlora.model;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import jqlora.format.BitsAndBytesState;
import jqlora.format.Checkpoint;
import jqlora.format.SafetensorsException;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.NearNames;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/** The weights of a model's folder, read strictly: every tensor of the family must be there, and nothing that the decoder would leave out. */
final class CheckpointWeights implements WeightSource {
    private static final int SHOWN = 5;
    private static final String FREQUENCIES = ".rotary_emb.inv_freq";

    private final Checkpoint checkpoint;
    private final StoredTensors stored;
    private final LoadListener listener;
    private final long started = System.nanoTime();
    private final Set<String> read = new LinkedHashSet<>();
    private final List<String> warnings = new ArrayList<>();
    private long bytesRead;

    CheckpointWeights(Checkpoint checkpoint, DecoderSpec spec, LoadListener listener) {
        this.checkpoint = checkpoint;
        this.stored = new StoredTensors(checkpoint, spec);
        this.listener = listener;
    }

    @Override
    public boolean contains(String name) {
        return stored.contains(name);
    }

    @Override
    public TensorView read(String name, Shape shape, Arena arena) throws IOException {
        if (!stored.contains(name) && name.equals(stored.spec().output().head().name() + ".weight")) {
            throw new SafetensorsException(checkpoint.path(), name, "is not there, and config.json says that the output layer is not the embedding; if it is, set"
                    + " tie_word_embeddings to true in config.json" + NearNames.hint(name, checkpoint.names()));
        }
        TensorView tensor = stored.get(name);
        require(name, tensor.shape(), shape);
        if (!tensor.dtype().isWeightType()) {
            throw new SafetensorsException(checkpoint.path(), name, "is " + tensor.dtype() + ", a weight must be F32, BF16 or F16");
        }
        count(name, tensor.data().byteSize());
        return tensor;
    }

    @Override
    public QuantizedTensor readFourBit(String name, Shape shape) throws IOException {
        if (!stored.isFourBit(name)) {
            return null;
        }
        QuantizedTensor tensor = BitsAndBytesState.read(checkpoint, stored.nameOf(name));
        require(name, tensor.shape(), shape);
        count(name, tensor.byteSize());
        return tensor;
    }

    private void require(String name, Shape actual, Shape expected) throws SafetensorsException {
        if (!actual.equals(expected)) {
            throw new SafetensorsException(checkpoint.path(), name, "has shape " + actual + ", by config.json it must be " + expected);
        }
    }

    private void count(String name, long bytes) {
        read.add(stored.nameOf(name));
        bytesRead += bytes;
        listener.loaded(new LoadListener.Progress(name, bytesRead, checkpoint.byteSize(), (System.nanoTime() - started) / 1e9));
    }

    /** What in the checkpoint was left out although it is not what stands for it. */
    List<String> warnings() {
        return warnings;
    }

    /** @throws SafetensorsException if the checkpoint has a tensor that was not read: the model would not be the one that was saved */
    void requireAllRead() throws SafetensorsException {
        List<String> left = new ArrayList<>();
        DecoderSpec spec = stored.spec();
        for (String name : BitsAndBytesState.parameters(checkpoint)) {
            if (name.endsWith(FREQUENCIES) && !spec.attention().ropes().isEmpty()) {
                compareFrequencies(name, spec.attention().ropes().getFirst());
            } else if (!read.contains(name) && spec.buffers().stream().noneMatch(name::endsWith)) {
                left.add(name);
            }
        }
        if (!left.isEmpty()) {
            throw new SafetensorsException(checkpoint.path(), left.size() + " tensors are not part of a " + spec.modelType()
                    + " model with this config.json, such as " + String.join(", ", left.subList(0, Math.min(SHOWN, left.size())))
                    + "; correct config.json if it is another model's, or take these tensors out of the checkpoint");
        }
    }

    /** Older checkpoints carry the rotation's frequencies; the config decides, as in transformers. They may be without the config's scaling. */
    private void compareFrequencies(String name, RopeSpec rope) throws SafetensorsException {
        TensorView stored = checkpoint.get(name);
        RopeSpec unscaled = new RopeSpec(rope.rotaryDim(), rope.theta(), new RopeSpec.Unscaled(), rope.maxPositionEmbeddings(), rope.interleaved());
        if (!stored.dtype().isWeightType() || !same(stored.toFloats(), rope.inverseFrequencies()) && !same(stored.toFloats(), unscaled.inverseFrequencies())) {
            warnings.add(name + " has other frequencies than the rotation that config.json describes; config.json decides, as in transformers. If the model was trained"
                    + " with those of the file, correct rope_theta or rope_parameters in config.json");
        }
    }

    /** Files have them rounded to as little as BF16. */
    private static boolean same(float[] stored, float[] computed) {
        boolean same = stored.length == computed.length;
        for (int i = 0; same && i < stored.length; i++) {
            same = Math.abs(stored[i] - computed[i]) <= computed[i] / 128;
        }
        return same;
    }
}
