package jqlora.ops;

import java.util.List;
import jqlora.tensor.Tensor;

/**
 * Keys and values of the tokens so far, for decoding one token after the other.
 *
 * @param keys a layer each: [sequences * maxLength, kvHeads headDim], the compute type
 * @param values a layer each, like keys
 * @param maxLength rows that a sequence has at most
 */
public record KvCache(List<Tensor> keys, List<Tensor> values, int maxLength) implements AutoCloseable {
    public KvCache {
        keys = List.copyOf(keys);
        values = List.copyOf(values);
        if (keys.size() != values.size()) {
            throw new IllegalArgumentException("key-value cache: " + keys.size() + " key and " + values.size() + " value tensors, there must be one each a layer");
        }
    }

    @Override
    public void close() {
        keys.forEach(Tensor::close);
        values.forEach(Tensor::close);
    }
}
