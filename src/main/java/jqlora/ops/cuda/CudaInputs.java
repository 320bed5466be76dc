package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.Dropout;
import jqlora.ops.Input;
import jqlora.ops.LinearGroup;
import jqlora.ops.Link;
import jqlora.tensor.Tensor;

/** What linear layers read, made on the way, and chains of them backwards: a gated MLP in one where {@link CudaMlp} takes it, else link by link. */
final class CudaInputs {
    private final CudaLinear linear;
    private final CudaNorm norms;
    private final CudaActivations activations;
    private final CudaMlp mlps;

    CudaInputs(CudaStage stage, CudaLinear linear) {
        this.linear = linear;
        this.norms = new CudaNorm(stage);
        this.activations = new CudaActivations(stage);
        this.mlps = new CudaMlp(stage, linear, norms);
    }

    CudaNorm norms() {
        return norms;
    }

    CudaTensor compute(Input input) {
        CudaTensor x = CudaTensor.of(input.x());
        return switch (input) {
            case Input.Kept kept -> throw new AssertionError(kept);
            case Input.Normed normed -> norms.forward(x, normed.norm(), normed.statistics());
            case Input.Gated gated -> activations.gated(x, gated.activation());
            case Input.Activated activated -> activations.plain(x, activated.activation());
        };
    }

    void backward(Tensor dX, Tensor dY, Input input) {
        CudaTensor x = CudaTensor.of(input.x()), into = CudaTensor.toChange(dX), from = CudaTensor.of(dY);
        switch (input) {
            case Input.Kept kept -> throw new AssertionError(kept);
            case Input.Normed normed -> norms.backward(into, dY, x, normed.norm(), normed.statistics(), false);
            case Input.Gated gated -> activations.gatedBackward(into, from, x, gated.activation(), false);
            case Input.Activated activated -> activations.plainBackward(into, from, x, activated.activation(), false);
        }
    }

    CudaTensor linear(Link link, Tensor added, Dropout dropout) {
        CudaTensor inner = CudaTensor.orNull(link.inner()), sum = CudaTensor.orNull(added);
        if (link.input() instanceof Input.Kept(Tensor x)) {
            return linear.forward(CudaTensor.of(x), link.group(), inner, dropout.key(), sum);
        }
        try (CudaTensor made = compute(link.input())) {
            return linear.forward(made, link.group(), inner, dropout.key(), sum);
        }
    }

    void linearBackward(Tensor dX, Tensor dY, List<Link> chain, Dropout dropout) {
        CudaTensor into = dX == null ? null : CudaTensor.toChange(dX), read = CudaTensor.of(dY);
        GatedChain gated = into == null ? null : GatedChain.of(chain);
        if (gated != null && CudaMlp.takes(gated, dropout, linear::isInFp8)) {
            mlps.backward(into, read, gated, dropout);
            return;
        }
        for (int i = 0; i < chain.size(); i++) {
            Link link = chain.get(i);
            CudaTensor gradient = i == chain.size() - 1 ? into : CudaTensor.toChange(link.input().x());
            linkBackward(gradient, read, link, dropout.key());
            read = gradient;
        }
    }

    /** @param dX null when nobody wants it */
    private void linkBackward(CudaTensor dX, CudaTensor dY, Link link, long dropoutKey) {
        CudaTensor x = CudaTensor.of(link.input().x()), inner = CudaTensor.orNull(link.inner());
        LinearGroup group = link.group();
        switch (link.input()) {
            case Input.Kept kept -> linear.backward(dX, dY, x, group, inner, dropoutKey);
            case Input.Normed normed -> norms.linearBackward(linear, dX, dY, x, normed.norm(), normed.statistics(), group, inner, dropoutKey, CudaLinear.Gradients.OF_BOTH);
            case Input.Gated gated -> activations.linearBackward(linear, dX, dY, gated, group, inner, dropoutKey);
            case Input.Activated activated -> activations.linearBackward(linear, dX, dY, activated, group, inner, dropoutKey);
        }
    }
}
