package jqlora.model;

import java.util.List;
import java.util.stream.Stream;
import jqlora.ops.Norm;
import jqlora.ops.Parameter;

/**
 * The weights of one layer. {@code headNorms} is null when the family has none.
 */
record DecoderLayer(int index, Norm inputLayernorm, Attention attention, Norm postAttentionLayernorm, Mlp mlp) implements AutoCloseable {

    record Attention(Linear qProj, Linear kProj, Linear vProj, Linear oProj, HeadNorms headNorms) { }

    record HeadNorms(Parameter qNorm, Parameter kNorm) { }

    record Mlp(Linear gateProj, Linear upProj, Linear downProj) { }

    /** In the order of the forward. */
    List<Linear> linears() {
        return List.of(attention.qProj, attention.kProj, attention.vProj, attention.oProj, mlp.gateProj, mlp.upProj, mlp.downProj);
    }

    /** Weights and biases of norms. */
    List<Parameter> norms() {
        Stream<Parameter> heads = attention.headNorms == null ? Stream.of() : Stream.of(attention.headNorms.qNorm, attention.headNorms.kNorm);
        return Stream.concat(Stream.of(inputLayernorm, postAttentionLayernorm).flatMap(norm -> norm.parameters().stream()), heads).toList();
    }

    boolean isTrained() {
        return linears().stream().anyMatch(Linear::isTrained) || norms().stream().anyMatch(Parameter::isTrained);
    }

    @Override
    public void close() {
        linears().forEach(Linear::close);
        norms().forEach(Parameter::close);
    }
}
