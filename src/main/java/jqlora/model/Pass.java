package jqlora.model;

import java.util.Map;
import java.util.stream.Stream;
import jqlora.ops.Dropout;
import jqlora.ops.KvCache;
import jqlora.ops.LinearGroup;
import jqlora.ops.Norm;
import jqlora.ops.Ops;
import jqlora.ops.RopeTable;
import jqlora.ops.Sequences;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;

/**
 * What all layers share while one batch goes through them.
 *
 * @param ropes the tables of all rotations that a layer has
 * @param sequences null where each row is the one new token of a sequence, and how many tokens come before it stands in positions alone
 * @param positions I32 [rows]
 * @param dropout of this micro-batch
 * @param backward whether a backward follows
 * @param cache of keys and values; null when the sequences begin in this batch
 */
record Pass(Ops ops, Map<RopeSpec, RopeTable> ropes, Sequences sequences, Tensor positions, Dropout dropout, boolean backward, KvCache cache) {
    static Pass training(Ops ops, Map<RopeSpec, RopeTable> ropes, Sequences sequences, Tensor positions, Dropout dropout) {
        return new Pass(ops, ropes, sequences, positions, dropout, true, null);
    }

    static Pass inference(Ops ops, Map<RopeSpec, RopeTable> ropes, Sequences sequences, Tensor positions, KvCache cache) {
        return new Pass(ops, ropes, sequences, positions, Dropout.NONE, false, cache);
    }

    long rows() {
        return positions.shape().size();
    }

    /** Room for what a norm leaves; null for no norm. */
    Tensor statistics(Norm norm) {
        return norm == null ? null : ops.allocate(DType.F32, norm.statistics(rows()).toArray());
    }

    /** Room for what a group's adapters leave; null without adapters. */
    Tensor inner(LinearGroup group) {
        return group.rank() == 0 ? null : ops.allocate(ops.computeType(), rows(), group.rank());
    }

    static void close(Tensor... tensors) {
        Stream.of(tensors).filter(tensor -> tensor != null).forEach(Tensor::close);
    }
}
