package jqlora.model;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import jqlora.format.BitsAndBytesState;
import jqlora.format.Checkpoint;
import jqlora.format.SafetensorsException;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/** The weights of a model's folder, read strictly: every tensor of the family must be there, and nothing that the decoder would leave out. */
final class CheckpointWeights implements WeightSource {
    private static final int SHOWN = 5;

    private final Checkpoint checkpoint;
    private final LoadListener listener;
    private final long started = System.nanoTime();
    private final Set<String> read = new LinkedHashSet<>();
    private long bytesRead;

    CheckpointWeights(Checkpoint checkpoint, LoadListener listener) {
        this.checkpoint = checkpoint;
        this.listener = listener;
    }

    @Override
    public TensorView read(String name, Shape shape, Arena arena) throws IOException {
        TensorView tensor = checkpoint.get(name);
        require(name, tensor.shape(), shape);
        if (!tensor.dtype().isWeightType()) {
            throw new SafetensorsException(checkpoint.path(), name, "is " + tensor.dtype() + ", a weight must be F32, BF16 or F16");
        }
        count(name, tensor.data().byteSize());
        return tensor;
    }

    @Override
    public QuantizedTensor readFourBit(String name, Shape shape) throws IOException {
        if (!BitsAndBytesState.isFourBit(checkpoint, name)) {
            return null;
        }
        QuantizedTensor tensor = BitsAndBytesState.read(checkpoint, name);
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
        read.add(name);
        bytesRead += bytes;
        listener.loaded(new LoadListener.Progress(name, bytesRead, checkpoint.byteSize(), (System.nanoTime() - started) / 1e9));
    }

    /** @throws SafetensorsException if the checkpoint has a tensor that was not read: the model would not be the one that was saved */
    void requireAllRead(DecoderSpec spec) throws SafetensorsException {
        List<String> left = BitsAndBytesState.parameters(checkpoint).stream().filter(name -> !read.contains(name) && !mayBeLeft(name, spec)).toList();
        if (!left.isEmpty()) {
            throw new SafetensorsException(checkpoint.path(), left.size() + " tensors are not part of a " + spec.modelType()
                    + " model with this config.json, such as " + String.join(", ", left.subList(0, Math.min(SHOWN, left.size()))));
        }
    }

    /** Older checkpoints carry the rotation's frequencies, which follow from the config; a tied model may carry its output layer twice. */
    private static boolean mayBeLeft(String name, DecoderSpec spec) {
        return name.endsWith(".rotary_emb.inv_freq") || spec.tieWordEmbeddings() && name.equals(CausalLm.LM_HEAD + ".weight");
    }

}
