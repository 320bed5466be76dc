package jqlora.ops.cpu;

import java.util.List;
import jqlora.ops.Dropout;
import jqlora.ops.Input;
import jqlora.ops.Link;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/** What linear layers read, made on the way, and chains of them backwards, link by link. */
final class CpuInputs {
    private final CpuStage stage;
    private final CpuLinear linear;
    private final CpuNorm norms;
    private final CpuActivations activations;

    CpuInputs(CpuStage stage, CpuLinear linear, CpuNorm norms, CpuActivations activations) {
        this.stage = stage;
        this.linear = linear;
        this.norms = norms;
        this.activations = activations;
    }

    Tensor compute(Input input) {
        return switch (input) {
            case Input.Kept kept -> new BorrowedTensor(kept.x());
            case Input.Normed normed -> norms.forward(normed.x(), normed.norm(), normed.statistics());
            case Input.Gated gated -> activations.gated(gated.x(), gated.activation());
            case Input.Activated activated -> activations.plain(activated.x(), activated.activation());
        };
    }

    /** As the forward made it. */
    private Tensor again(Input input) {
        return input instanceof Input.Normed normed ? norms.again(normed.x(), normed.norm(), normed.statistics()) : compute(input);
    }

    void backward(Tensor dX, Tensor dY, Input input) {
        switch (input) {
            case Input.Kept kept -> throw new AssertionError(kept);
            case Input.Normed normed -> norms.backward(dX, dY, normed.x(), normed.norm(), normed.statistics());
            case Input.Gated gated -> activations.gatedBackward(dX, dY, gated.x(), gated.activation());
            case Input.Activated activated -> activations.plainBackward(dX, dY, activated.x(), activated.activation());
        }
    }

    Tensor linear(Link link, Tensor added, Dropout dropout) {
        try (Tensor x = compute(link.input())) {
            Tensor y = linear.forward(x, link.group(), link.inner(), dropout);
            if (added != null) {
                stage.addInPlace(y, added);
            }
            return y;
        }
    }

    void linearBackward(Tensor dX, Tensor dY, List<Link> chain, Dropout dropout) {
        Tensor read = dY;
        for (int i = 0; i < chain.size(); i++) {
            Link link = chain.get(i);
            Tensor into = i == chain.size() - 1 ? dX : link.input().x();
            linkBackward(into, read, link, dropout);
            read = into;
        }
    }

    /** @param dX null when nobody wants it */
    private void linkBackward(Tensor dX, Tensor dY, Link link, Dropout dropout) {
        Input input = link.input();
        if (input instanceof Input.Kept) {
            linear.backward(dX, dY, input.x(), link.group(), link.inner(), dropout);
            return;
        }
        boolean trained = input instanceof Input.Normed normed && normed.norm().isTrained();
        try (Tensor dInput = dX == null && !trained ? null : stage.allocate(DType.F32, input.x().shape().dim(0), input.columns());
                Tensor unwanted = dX == null && trained ? stage.zeros(DType.F32, input.x().shape().toArray()) : null) {
            try (Tensor made = again(input)) {
                linear.backward(dInput, dY, made, link.group(), link.inner(), dropout);
            }
            if (dInput != null) {
                backward(dX == null ? unwanted : dX, dInput, input);
            }
        }
    }
}
