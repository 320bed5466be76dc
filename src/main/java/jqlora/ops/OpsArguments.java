package jqlora.ops;

import java.util.List;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.ShapeException;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * What every operation demands of its arguments, so that a wrong shape fails with the same words on every backend, before anything is
 * computed. Ids and positions in device memory are not looked at. One method for each operation of {@link Ops}, with its name.
 */
public final class OpsArguments {
    private static final int NO_TARGET = -100;

    private OpsArguments() { }

    /** @param y null for none */
    public static void add(Tensor x, Tensor y, DType computeType) {
        if (y != null) {
            ShapeException.require("add: y", y.shape(), x.shape());
        }
        if (x.dtype() != computeType && x.dtype() != DType.F32) {
            throw new IllegalArgumentException("add: x is " + x.dtype() + ", it must be " + computeType + " or F32");
        }
        if (y != null && x.dtype() != y.dtype()) {
            throw new IllegalArgumentException("add: y is " + y.dtype() + ", it must be " + x.dtype() + " like x");
        }
    }

    public static void copyInto(Tensor target, Tensor source) {
        ShapeException.require("copyInto: source", source.shape(), target.shape());
        if (source.dtype() != target.dtype()) {
            throw new IllegalArgumentException("copyInto: source is " + source.dtype() + ", it must be " + target.dtype() + " like the target");
        }
    }

    public static void quantize(TensorView host) {
        if (host.shape().rank() != 2) {
            throw new ShapeException("quantize: host has shape " + host.shape() + ", it must be [outFeatures, inFeatures]");
        }
        if (!host.dtype().isWeightType()) {
            throw new IllegalArgumentException("quantize: host is " + host.dtype() + ", it must be F32, F16 or BF16");
        }
    }

    // ---- embedding

    public static void embedding(Tensor table, Tensor ids) {
        requireMatrix("embedding: table", table, "[vocab, hidden]");
        require("embedding: ids", ids, DType.I32, Shape.of(ids.shape().size()));
    }

    public static void embeddingBackward(Tensor dTable, Tensor dY, Tensor ids) {
        requireMatrix("embeddingBackward: dTable", dTable, "[vocab, hidden]");
        require("embeddingBackward: dTable", dTable, DType.F32, dTable.shape());
        require("embeddingBackward: ids", ids, DType.I32, Shape.of(ids.shape().size()));
        ShapeException.require("embeddingBackward: dY", dY.shape(), Shape.of(ids.shape().size(), dTable.shape().dim(1)));
    }

    /** For a backend that can look at the ids: that {@code id} is a row of the table. */
    public static void id(String what, long id, long row, long vocab) {
        if (id < 0 || id >= vocab) {
            throw new IllegalArgumentException(what + ": token id " + id + " at row " + row + " must be in [0, " + vocab + ")");
        }
    }

    // ---- normalisation

    private static void norm(String what, Tensor x, Norm norm, Tensor statistics) {
        requireMatrix(what + ": x", x, "[rows, hidden]");
        for (Parameter parameter : norm.parameters()) {
            ShapeException.require(what + ": " + parameter.name(), parameter.value().shape(), Shape.of(x.shape().dim(1)));
        }
        require(what + ": statistics", statistics, DType.F32, norm.statistics(x.shape().dim(0)));
    }

    // ---- linear layers and what they read

    public static void compute(Input input) {
        requireComputed("compute", input);
        input("compute", input);
    }

    private static void requireComputed(String what, Input input) {
        if (input instanceof Input.Kept) {
            throw new IllegalArgumentException(what + ": the input is kept as it is, nothing is computed");
        }
    }

    public static void computeBackward(Tensor dX, Tensor dY, Input input) {
        requireComputed("computeBackward", input);
        input("computeBackward", input);
        ShapeException.require("computeBackward: dX", dX.shape(), input.x().shape());
        ShapeException.require("computeBackward: dY", dY.shape(), Shape.of(input.x().shape().dim(0), input.columns()));
    }

    private static void input(String what, Input input) {
        requireMatrix(what + ": x", input.x(), "[rows, columns]");
        switch (input) {
            case Input.Normed(Tensor x, Norm norm, Tensor statistics) -> norm(what, x, norm, statistics);
            case Input.Gated gated -> {
                if (gated.x().shape().dim(1) % 2 != 0) {
                    throw new ShapeException(what + ": x has shape " + gated.x().shape() + ", it must be [rows, 2 intermediate]");
                }
            }
            case Input.Kept kept -> { }
            case Input.Activated activated -> { }
        }
    }

    private static void link(String what, Link link) {
        input(what, link.input());
        Tensor x = link.input().x();
        if (link.input().columns() != link.group().inFeatures()) {
            throw new ShapeException(what + ": the layers read " + link.input().columns() + " columns, it must be their " + link.group().inFeatures() + " input features; x has shape "
                    + x.shape());
        }
        Shape inner = Shape.of(x.shape().dim(0), link.group().rank());
        if (link.group().rank() > 0) {
            if (link.inner() == null) {
                throw new IllegalArgumentException(what + ": inner is null, it must be " + inner + " since a layer has an adapter");
            }
            require(what + ": inner", link.inner(), x.dtype(), inner);
        }
    }

    public static void linear(Link link, Tensor added) {
        link("linear", link);
        if (added != null) {
            ShapeException.require("linear: added", added.shape(), Shape.of(link.input().x().shape().dim(0), link.group().outFeatures()));
            if (added.dtype() != link.input().x().dtype()) {
                throw new IllegalArgumentException("linear: added is " + added.dtype() + ", it must be " + link.input().x().dtype() + " like x");
            }
        }
    }

    public static void linearBackward(Tensor dX, Tensor dY, List<Link> chain) {
        Tensor read = dY;
        for (Link link : chain) {
            link("linearBackward", link);
            ShapeException.require(read == dY ? "linearBackward: dY" : "linearBackward: x of a link", read.shape(),
                    Shape.of(link.input().x().shape().dim(0), link.group().outFeatures()));
            read = link.input().x();
        }
        if (dX != null) {
            ShapeException.require("linearBackward: dX", dX.shape(), read.shape());
        }
    }

    // ---- heads

    public static void heads(Tensor fused, Heads heads, Tensor rstd) {
        headsOf("heads", fused, heads, rstd);
    }

    private static void headsOf(String what, Tensor fused, Heads heads, Tensor rstd) {
        AttentionShape shape = heads.shape();
        requireQkv(what + ": qkv", fused, shape);
        if (heads.norms() != null) {
            boolean across = heads.norms().acrossHeads();
            ShapeException.require(what + ": query norm", heads.norms().query().weight().value().shape(), Shape.of(across ? shape.queryColumns() : shape.headDim()));
            ShapeException.require(what + ": key norm", heads.norms().key().weight().value().shape(), Shape.of(across ? shape.keyColumns() : shape.headDim()));
            require(what + ": rstd", rstd, DType.F32, heads.norms().statistics(shape, fused.shape().dim(0)));
        }
        if (heads.rope() != null) {
            rope(what, fused, shape, heads.rope(), heads.positions());
        }
    }

    public static void headsBackward(Tensor dQkv, Tensor fused, Heads heads, Tensor rstd) {
        headsOf("headsBackward", dQkv, heads, rstd);
        if (heads.norms() != null) {
            ShapeException.require("headsBackward: dQkv", dQkv.shape(), fused.shape());
        }
    }

    // ---- attention

    private static void rope(String what, Tensor qkv, AttentionShape shape, RopeTable table, Tensor positions) {
        requireQkv(what + ": qkv", qkv, shape);
        require(what + ": cos", table.cos(), DType.F32, Shape.of(table.positions(), table.half()));
        if (2 * table.half() > shape.headDim()) {
            throw new ShapeException(what + ": cos has shape " + table.cos().shape() + ", it must be [positions, " + shape.headDim() / 2 + " or less]");
        }
        require(what + ": positions", positions, DType.I32, Shape.of(qkv.shape().dim(0)));
    }

    /** For a backend that can look at the positions: that the table covers {@code position}. */
    public static void position(long position, long row, RopeTable table) {
        if (position < 0 || position >= table.positions()) {
            throw new IllegalArgumentException("rope: position " + position + " of row " + row + " must be in [0, " + table.positions() + ")");
        }
    }

    public static void attention(Tensor qkv, AttentionShape shape, Sequences sequences, Tensor logSumExp) {
        requireQkv("attention", qkv, shape, sequences);
        if (logSumExp != null) {
            require("attention: logSumExp", logSumExp, DType.F32, Shape.of(sequences.rows(), shape.numAttentionHeads()));
        }
    }

    public static void attentionBackward(Tensor dQkv, Tensor dY, Tensor qkv, Tensor y, Tensor logSumExp, AttentionShape shape, Sequences sequences) {
        requireQkv("attentionBackward", qkv, shape, sequences);
        Shape result = Shape.of(sequences.rows(), shape.queryColumns());
        ShapeException.require("attentionBackward: dQkv", dQkv.shape(), qkv.shape());
        ShapeException.require("attentionBackward: dY", dY.shape(), result);
        ShapeException.require("attentionBackward: y", y.shape(), result);
        require("attentionBackward: logSumExp", logSumExp, DType.F32, Shape.of(sequences.rows(), shape.numAttentionHeads()));
    }

    public static void cachedAttention(Tensor qkv, AttentionShape shape, Sequences sequences, KvCache cache, int layer) {
        requireQkv("cachedAttention", qkv, shape, sequences);
        requireLayer(cache, layer);
        for (int sequence = 0; sequence < sequences.count(); sequence++) {
            int tokens = sequences.past(sequence) + sequences.length(sequence);
            if (tokens > cache.maxLength()) {
                throw new IllegalArgumentException("cachedAttention: sequence " + sequence + " has " + tokens + " tokens, the cache was made for at most "
                        + cache.maxLength());
            }
        }
        requireCache(cache, layer, sequences.count(), shape);
    }

    public static void cachedAttention(Tensor qkv, AttentionShape shape, Tensor positions, KvCache cache, int layer) {
        requireQkv("cachedAttention: qkv", qkv, shape);
        require("cachedAttention: positions", positions, DType.I32, Shape.of(qkv.shape().dim(0)));
        requireLayer(cache, layer);
        requireCache(cache, layer, qkv.shape().dim(0), shape);
    }

    private static void requireLayer(KvCache cache, int layer) {
        if (layer < 0 || layer >= cache.keys().size()) {
            throw new IllegalArgumentException("cachedAttention: layer " + layer + ", the cache has layers 0 to " + (cache.keys().size() - 1));
        }
    }

    private static void requireCache(KvCache cache, int layer, long sequences, AttentionShape shape) {
        requireCache("cachedAttention: keys", cache.keys().get(layer), sequences * cache.maxLength(), shape.keyColumns());
        requireCache("cachedAttention: values", cache.values().get(layer), sequences * cache.maxLength(), shape.keyColumns());
    }

    private static void requireCache(String what, Tensor tensor, long rows, long columns) {
        if (tensor.shape().rank() != 2 || tensor.shape().dim(0) < rows || tensor.shape().dim(1) != columns) {
            throw new ShapeException(what + " has shape " + tensor.shape() + ", it must be [" + rows + " or more, " + columns + "]");
        }
    }

    // ---- decoding

    public static void nextTokens(Tensor ids, Tensor positions, Tensor logits, Sampler sampler, Tensor uniform) {
        requireMatrix("nextTokens: logits", logits, "[sequences, vocab]");
        long sequences = logits.shape().dim(0);
        require("nextTokens: ids", ids, DType.I32, Shape.of(sequences));
        require("nextTokens: positions", positions, DType.I32, Shape.of(sequences));
        if (uniform == null) {
            if (sampler instanceof Sampler.Random) {
                throw new IllegalArgumentException("nextTokens: uniform is null, " + sampler + " needs random numbers");
            }
        } else if (uniform.dtype() != DType.F64 || uniform.shape().rank() != 2 || uniform.shape().dim(0) != sequences) {
            throw new ShapeException("nextTokens: uniform is " + uniform.dtype() + " " + uniform.shape() + ", it must be F64 [" + sequences + ", positions]");
        }
    }

    // ---- loss and optimizer

    public static void scores(Tensor x, OutputHead head) {
        head("scores", x, head);
    }

    private static void head(String what, Tensor x, OutputHead head) {
        if (x.shape().rank() != 2 || x.shape().dim(1) != head.weights().weight().inFeatures()) {
            throw new ShapeException(what + ": x has shape " + x.shape() + ", it must be [rows, " + head.weights().weight().inFeatures() + "]");
        }
    }

    public static void headLoss(Tensor x, OutputHead head, int[] targets, Tensor lossSum, Tensor dX) {
        head("headLoss", x, head);
        long rows = x.shape().dim(0), vocab = head.weights().weight().outFeatures();
        if (targets.length != rows) {
            throw new ShapeException("headLoss: " + targets.length + " targets, there must be one for each of the " + rows + " rows");
        }
        for (int row = 0; row < rows; row++) {
            if (targets[row] != NO_TARGET && (targets[row] < 0 || targets[row] >= vocab)) {
                throw new IllegalArgumentException("headLoss: target of row " + row + " is " + targets[row] + ", it must be in [0, " + vocab + ") or " + NO_TARGET);
            }
        }
        require("headLoss: lossSum", lossSum, DType.F64, Shape.of(1));
        if (dX != null) {
            ShapeException.require("headLoss: dX", dX.shape(), x.shape());
        }
    }

    public static void merge(Weight base, LoraFactors factors) {
        Shape shape = base.shape();
        ShapeException.require("merge: " + factors.a().name(), factors.a().value().shape(), Shape.of(factors.r(), shape.dim(1)));
        ShapeException.require("merge: " + factors.b().name(), factors.b().value().shape(), Shape.of(shape.dim(0), factors.r()));
    }

    /** What {@link Ops#merge} throws when element {@code index} of the sum is {@code value}. */
    public static IllegalArgumentException notFinite(String layer, long index, float value) {
        return new IllegalArgumentException("merge: element " + index + " of " + layer + " would be " + value
                + ", it must be finite; the adapter is damaged or its training diverged");
    }

    public static void gradientNorm(List<Parameter> parameters, Tensor norm) {
        parameters.forEach(parameter -> requireTrained("gradientNorm", parameter));
        require("gradientNorm: norm", norm, DType.F64, Shape.of(1));
    }

    public static void zeroGradients(List<Parameter> parameters) {
        parameters.forEach(parameter -> requireTrained("zeroGradients", parameter));
    }

    public static void adamW(List<AdamWState> states, Tensor norm) {
        require("adamW: norm", norm, DType.F64, Shape.of(1));
        for (AdamWState state : states) {
            Parameter parameter = state.parameter();
            requireUpdatable("adamW", parameter);
            require("adamW: first moment of " + parameter.name(), state.firstMoment(), DType.F32, parameter.value().shape());
            require("adamW: second moment of " + parameter.name(), state.secondMoment(), DType.F32, parameter.value().shape());
        }
    }

    public static void adamW8bit(List<AdamW8bitState> states, Tensor norm) {
        require("adamW8bit: norm", norm, DType.F64, Shape.of(1));
        for (AdamW8bitState state : states) {
            Parameter parameter = state.parameter();
            requireUpdatable("adamW8bit", parameter);
            require("adamW8bit: first moment of " + parameter.name(), state.firstMoment(), parameter.value().shape());
            require("adamW8bit: second moment of " + parameter.name(), state.secondMoment(), parameter.value().shape());
        }
    }

    // ---- parts

    private static void require(String what, Tensor tensor, DType dtype, Shape shape) {
        ShapeException.require(what, tensor.shape(), shape);
        if (tensor.dtype() != dtype) {
            throw new IllegalArgumentException(what + " is " + tensor.dtype() + ", it must be " + dtype);
        }
    }

    private static void require(String what, EightBitMoment moment, Shape shape) {
        require(what, moment.codes(), DType.U8, shape);
        require(what + ": absmax", moment.absmax(), DType.F32, Shape.of(EightBitMoment.blocks(shape.size())));
    }

    private static void requireMatrix(String what, Tensor tensor, String expected) {
        if (tensor.shape().rank() != 2) {
            throw new ShapeException(what + " has shape " + tensor.shape() + ", it must be " + expected);
        }
    }

    private static void requireQkv(String what, Tensor qkv, AttentionShape shape) {
        if (qkv.shape().rank() != 2 || qkv.shape().dim(1) != shape.qkvColumns()) {
            throw new ShapeException(what + " has shape " + qkv.shape() + ", it must be [rows, " + shape.qkvColumns() + "]");
        }
    }

    private static void requireQkv(String what, Tensor qkv, AttentionShape shape, Sequences sequences) {
        ShapeException.require(what + ": qkv", qkv.shape(), Shape.of(sequences.rows(), shape.qkvColumns()));
    }

    private static void requireUpdatable(String what, Parameter parameter) {
        requireTrained(what, parameter);
        if (parameter.value().dtype() != DType.F32) {
            throw new IllegalArgumentException(what + ": " + parameter.name() + " is " + parameter.value().dtype() + ", a trained parameter must be F32");
        }
    }

    private static void requireTrained(String what, Parameter parameter) {
        if (!parameter.isTrained()) {
            throw new IllegalArgumentException(what + ": " + parameter.name() + " is frozen, it must have a gradient");
        }
    }
}
