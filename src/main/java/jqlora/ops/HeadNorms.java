package jqlora.ops;

import java.util.List;

/** RMS normalisation of each query and each key head, before the rotation (Qwen3). @param query [headDim] @param key [headDim] */
public record HeadNorms(Parameter query, Parameter key, float eps) {
    public List<Parameter> parameters() {
        return List.of(query, key);
    }
}
