package jqlora.model;

import java.util.ArrayList;
import java.util.List;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.Link;
import jqlora.ops.Norm;
import jqlora.ops.Parameter;
import jqlora.tensor.FloatConversion;
import jqlora.tensor.Tensor;

/**
 * What comes before the first layer: {@code norm(project_in(scale tokens[id]) + positions[position + offset])}, of which most families have the first factor alone.
 *
 * @param positions null where positions are not learned
 * @param projectIn null for none
 * @param norm null for none
 */
record Embedding(Parameter tokens, float scale, Parameter positions, int offset, Linear projectIn, Norm norm) implements AutoCloseable {
    /** What the forward leaves for the backward. */
    static final class State implements AutoCloseable {
        /** What project_in read and what its adapter left; what the norm read, and its statistics. Null where there is none of it. */
        private Tensor embedded, inner, summed, statistics;

        @Override
        public void close() {
            Pass.close(embedded, inner, summed, statistics);
        }
    }

    /** @param ids I32 [rows] @return [rows, hidden] */
    Tensor forward(Pass pass, Tensor ids, State state) {
        Tensor x = pass.ops().embedding(tokens.value(), ids, rounded(pass));
        if (projectIn != null) {
            LinearGroup group = LinearGroup.of(projectIn.weights());
            state.embedded = x;
            state.inner = pass.inner(group);
            x = pass.ops().linear(new Link(new Input.Kept(x), group, state.inner), null, pass.dropout());
        }
        if (positions != null) {
            try (Tensor places = pass.ops().embedding(positions.value(), pass.positions(), offset, 1f)) {
                pass.ops().addInPlace(x, places);
            }
        }
        if (norm == null) {
            return x;
        }
        state.summed = x;
        state.statistics = pass.statistics(norm);
        return pass.ops().compute(new Input.Normed(x, norm, state.statistics));
    }

    /** @param d [rows, hidden], read as the gradient of the result */
    void backward(Pass pass, Tensor d, Tensor ids, State state) {
        try (Tensor dSummed = norm == null ? null : pass.ops().zeros(d.dtype(), d.shape().toArray())) {
            if (norm != null) {
                pass.ops().computeBackward(dSummed, d, new Input.Normed(state.summed, norm, state.statistics));
            }
            Tensor dX = norm == null ? d : dSummed;
            if (positions != null && positions.isTrained()) {
                pass.ops().embeddingBackward(positions.gradient(), dX, pass.positions(), offset, 1f);
            }
            if (projectIn == null) {
                tokensBackward(pass, dX, ids);
                return;
            }
            try (Tensor dEmbedded = tokens.isTrained() ? pass.ops().allocate(d.dtype(), state.embedded.shape().toArray()) : null) {
                pass.ops().linearBackward(dEmbedded, dX, List.of(new Link(new Input.Kept(state.embedded), LinearGroup.of(projectIn.weights()), state.inner)), pass.dropout());
                tokensBackward(pass, dEmbedded, ids);
            }
        }
    }

    private void tokensBackward(Pass pass, Tensor d, Tensor ids) {
        if (tokens.isTrained()) {
            pass.ops().embeddingBackward(tokens.gradient(), d, ids, 0, rounded(pass));
        }
    }

    private float rounded(Pass pass) {
        return FloatConversion.round(scale, pass.ops().computeType());
    }

    /** In the order of the forward, without project_in's. */
    List<Parameter> parameters() {
        List<Parameter> parameters = new ArrayList<>(List.of(tokens));
        if (positions != null) {
            parameters.add(positions);
        }
        if (norm != null) {
            parameters.addAll(norm.parameters());
        }
        return parameters;
    }

    boolean isTrained() {
        return parameters().stream().anyMatch(Parameter::isTrained) || projectIn != null && projectIn.isTrained();
    }

    @Override
    public void close() {
        parameters().forEach(Parameter::close);
        if (projectIn != null) {
            projectIn.close();
        }
    }
}
