package jqlora.ops;

import java.util.List;
import jqlora.tensor.Tensor;

/** Operations under short names, for one layer or one step at a time. */
public final class Calls {
    private Calls() { }

    private static Link link(Input input, List<LinearWeights> group, Tensor inner) {
        return new Link(input, new LinearGroup(group), inner);
    }

    public static Tensor linear(Ops ops, Tensor x, List<LinearWeights> group, Tensor inner, long dropoutKey) {
        return ops.linear(link(new Input.Kept(x), group, inner), null, new Dropout(dropoutKey));
    }

    static Tensor linearAdd(Ops ops, Tensor added, Tensor x, List<LinearWeights> group, Tensor inner, long dropoutKey) {
        return ops.linear(link(new Input.Kept(x), group, inner), added, new Dropout(dropoutKey));
    }

    public static void linearBackward(Ops ops, Tensor dX, Tensor dY, Tensor x, List<LinearWeights> group, Tensor inner, long dropoutKey) {
        ops.linearBackward(dX, dY, List.of(link(new Input.Kept(x), group, inner)), new Dropout(dropoutKey));
    }

    static void normedLinearBackward(Ops ops, Tensor dX, Tensor dY, Tensor x, Norm norm, Tensor statistics, List<LinearWeights> group, Tensor inner, long dropoutKey) {
        ops.linearBackward(dX, dY, List.of(link(new Input.Normed(x, norm, statistics), group, inner)), new Dropout(dropoutKey));
    }

    static void gatedLinearBackward(Ops ops, Tensor dGateUp, Tensor dY, Tensor gateUp, Activation activation, List<LinearWeights> group, Tensor inner, long dropoutKey) {
        ops.linearBackward(dGateUp, dY, List.of(link(new Input.Gated(gateUp, activation), group, inner)), new Dropout(dropoutKey));
    }

    public static Tensor norm(Ops ops, Tensor x, Norm norm, Tensor statistics) {
        return ops.compute(new Input.Normed(x, norm, statistics));
    }

    static void normBackward(Ops ops, Tensor dX, Tensor dY, Tensor x, Norm norm, Tensor statistics) {
        ops.computeBackward(dX, dY, new Input.Normed(x, norm, statistics));
    }

    static Tensor gatedActivation(Ops ops, Tensor gateUp, Activation activation) {
        return ops.compute(new Input.Gated(gateUp, activation));
    }

    static void gatedActivationBackward(Ops ops, Tensor dGateUp, Tensor dY, Tensor gateUp, Activation activation) {
        ops.computeBackward(dGateUp, dY, new Input.Gated(gateUp, activation));
    }

    static Tensor headNorm(Ops ops, Tensor qkv, AttentionShape shape, Parameter query, Parameter key, float eps, Tensor rstd) {
        return ops.heads(qkv, new Heads(shape, HeadOrder.SEPARATE, norms(query, key, eps), null, null), rstd);
    }

    static void headNormBackward(Ops ops, Tensor dQkv, Tensor qkv, AttentionShape shape, Parameter query, Parameter key, Tensor rstd) {
        ops.headsBackward(dQkv, qkv, new Heads(shape, HeadOrder.SEPARATE, norms(query, key, 0), null, null), rstd);
    }

    /** Of each head. */
    static HeadNorms norms(Parameter query, Parameter key, float eps) {
        return new HeadNorms(new Norm.Rms(query, 0, eps), new Norm.Rms(key, 0, eps), false);
    }

    static void rope(Ops ops, Tensor qkv, AttentionShape shape, RopeTable table, Tensor positions) {
        ops.heads(qkv, new Heads(shape, HeadOrder.SEPARATE, null, table, positions), null);
    }

    static void ropeBackward(Ops ops, Tensor dQkv, AttentionShape shape, RopeTable table, Tensor positions) {
        ops.headsBackward(dQkv, null, new Heads(shape, HeadOrder.SEPARATE, null, table, positions), null);
    }

    static void headLoss(Ops ops, Tensor x, LinearWeights head, int[] targets, double scale, Tensor lossSum, Tensor dX) {
        ops.headLoss(x, new OutputHead(head), targets, scale, lossSum, dX);
    }
}
