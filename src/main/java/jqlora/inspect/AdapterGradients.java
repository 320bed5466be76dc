package jqlora.inspect;

import java.util.ArrayList;
import java.util.List;
import jqlora.data.Batch;
import jqlora.data.TokenizedRow;
import jqlora.lora.LoraAdapter;
import jqlora.model.ActivationBudget;
import jqlora.model.CausalLm;
import jqlora.model.TokenBatch;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/** The gradients that A and B of an adapter get from some rows, before any step is made. */
public record AdapterGradients(List<Row> rows) {
    public AdapterGradients {
        rows = List.copyOf(rows);
    }

    /**
     * @param a norm of the gradient of A
     * @param b norm of the gradient of B
     */
    public record Row(String module, double a, double b) { }

    /**
     * The gradients of the mean loss of {@code batch}'s labelled tokens, all rows in one batch, without dropout. Nothing is trained; gradients are zero afterwards.
     *
     * @throws IllegalArgumentException if the adapter is not in force, is not trained, or no token is labelled
     */
    public static AdapterGradients of(LoraAdapter adapter, List<TokenizedRow> batch) {
        CausalLm model = adapter.model();
        long labelled = batch.stream().mapToLong(TokenizedRow::labelledTokens).sum();
        if (!adapter.isAttached()) {
            throw new IllegalArgumentException("gradients: the adapter is not in force; attach it first");
        }
        if (labelled == 0) {
            throw new IllegalArgumentException("gradients: " + batch.size() + " rows have no labelled token, there must be at least one");
        }
        List<Parameter> parameters = adapter.parameters();
        for (Parameter parameter : parameters) {
            if (!parameter.isTrained()) {
                throw new IllegalArgumentException("gradients: " + parameter.name() + " is not trained; load the adapter to be trained on, or make a new one");
            }
        }
        Ops ops = model.ops();
        parameters.forEach(parameter -> ops.fillZero(parameter.gradient()));
        try (Tensor lossSum = ops.zeros(DType.F64, 1)) {
            Batch rows = Batch.of(batch);
            model.forwardBackward(TokenBatch.of(rows.inputIds(), rows.labels(), Sequences.ofLengths(rows.lengths())), 1.0 / labelled, lossSum, 0, ActivationBudget.keepAll());
            List<Row> found = new ArrayList<>();
            adapter.factors().forEach((module, pair) -> found.add(new Row(module, norm(ops.download(pair.a().gradient())), norm(ops.download(pair.b().gradient())))));
            return new AdapterGradients(found);
        } finally {
            parameters.forEach(parameter -> ops.fillZero(parameter.gradient()));
        }
    }

    private static double norm(TensorView gradient) {
        double squares = 0;
        for (float value : gradient.toFloats()) {
            squares += (double) value * value;
        }
        return Math.sqrt(squares);
    }
}
