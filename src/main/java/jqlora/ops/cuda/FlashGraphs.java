package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudnn.*;

import jqlora.ops.AttentionShape;
import jqlora.ops.cuda.CudnnGraph.Lengths;
import jqlora.ops.cuda.CudnnGraph.Node;

/**
 * Causal attention with grouped queries as graphs of small operations, which cuDNN recognises and compiles to one flash attention kernel a pass. The
 * operations and their order are those of cudnn-frontend's composite path; others compute the same, but are not recognised.
 *
 * @param shape of the heads that are computed at a time
 * @param rowHeads query heads that a row of logSumExp has: those of the batch, of which {@code shape} may have a part
 * @param count sequences
 * @param length tokens of each; the most if they vary
 * @param varying whether lengths vary: then the graph reads {@code offsets.*}, I64 [count + 1] in elements, and {@code lengths}, I32 [count]
 * @param qkvStride elements from one row to the next, of queries, keys and values together, and of their gradients
 * @see <a href="https://github.com/NVIDIA/cudnn-frontend/blob/v1.23.0/include/cudnn_frontend/node/scaled_dot_product_flash_attention.h">cudnn-frontend</a>
 */
record FlashGraphs(AttentionShape shape, int rowHeads, int count, int length, boolean varying, long qkvStride, long yStride, long dYStride, long dQkvStride, boolean deterministic) {
    private static final int KEYS_OF_A_BLOCK = 128, BUSY_BLOCKS = 512, HEADS_OF_AN_ALIGNMENT = 4;
    private static final int HALF = CUDNN_DATA_BFLOAT16, FLOAT = CUDNN_DATA_FLOAT;

    /** Heads that cuDNN's kernels take. */
    static boolean takes(AttentionShape shape) {
        return shape.isPlain() && shape.slidingWindow() == 0 && shape.headDim() % 8 == 0 && shape.headDim() <= 128 && shape.headDim() >= 32;
    }

    private long[] dims(long heads, long rows, long columns) {
        return new long[] {count, heads, rows, columns};
    }

    private long[] full() {
        return dims(shape.numAttentionHeads(), length, length);
    }

    private long[] fullStrides() {
        long s = length;
        return new long[] {shape.numAttentionHeads() * s * s, s * s, s, 1};
    }

    /** A number for each token and head, token after token, as {@link jqlora.ops.Ops#attention} says. */
    private Node row(CudnnGraph graph, String name, Node offsets) {
        return graph.real(name, dims(shape.numAttentionHeads(), length, 1), new long[] {(long) rowHeads * length, 1, rowHeads, 1}, FLOAT, offsets);
    }

    private Node virtualRow(CudnnGraph graph) {
        long heads = shape.numAttentionHeads();
        return graph.virtual(dims(heads, length, 1), new long[] {heads * length, length, 1, 1}, FLOAT);
    }

    private Node virtualFull(CudnnGraph graph, int type) {
        return graph.virtual(full(), fullStrides(), type);
    }

    private Node heads(CudnnGraph graph, String name, int heads, long stride, Node offsets) {
        return graph.real(name, dims(heads, length, shape.headDim()), new long[] {length * stride, shape.headDim(), stride, 1}, HALF, offsets);
    }

    private Node transposedHeads(CudnnGraph graph, String name, int heads, long stride, Node offsets) {
        return graph.real(name, dims(heads, shape.headDim(), length), new long[] {length * stride, shape.headDim(), 1, stride}, HALF, offsets);
    }

    private Node offsets(CudnnGraph graph, String name) {
        return varying ? graph.real("offsets." + name, new long[] {count + 1, 1, 1, 1}, new long[] {1, 1, 1, 1}, CUDNN_DATA_INT64) : null;
    }

    private Node lengths(CudnnGraph graph, String name) {
        return varying ? graph.real("lengths." + name, new long[] {count, 1, 1, 1}, new long[] {1, 1, 1, 1}, CUDNN_DATA_INT32) : null;
    }

    /** Scores of later keys, and those beyond a sequence's end, become minus infinity. */
    private Node masked(CudnnGraph graph, Node scores, Node queryLengths, Node keyLengths) {
        Node infinity = graph.scalar("minusInfinity"), x = scores;
        if (varying) {
            Node row = graph.index(CUDNN_DATA_INT32, 2, x, virtualFull(graph, CUDNN_DATA_INT32)), column = graph.index(CUDNN_DATA_INT32, 3, x, virtualFull(graph, CUDNN_DATA_INT32));
            Node inRows = graph.compare(CUDNN_POINTWISE_CMP_LT, row, queryLengths, virtualFull(graph, CUDNN_DATA_BOOLEAN));
            Node inColumns = graph.compare(CUDNN_POINTWISE_CMP_LT, column, keyLengths, virtualFull(graph, CUDNN_DATA_BOOLEAN));
            Node in = graph.compare(CUDNN_POINTWISE_LOGICAL_AND, inRows, inColumns, virtualFull(graph, CUDNN_DATA_BOOLEAN));
            x = graph.select(x, infinity, in, virtualFull(graph, FLOAT));
        }
        Node row = graph.index(FLOAT, 2, x, virtualFull(graph, CUDNN_DATA_INT32)), column = graph.index(FLOAT, 3, x, virtualFull(graph, CUDNN_DATA_INT32));
        Node causal = graph.compare(CUDNN_POINTWISE_CMP_GE, row, column, virtualFull(graph, CUDNN_DATA_BOOLEAN));
        return graph.select(x, infinity, causal, virtualFull(graph, FLOAT));
    }

    /** Reads q, k, v, scale, minusInfinity; writes y, logSumExp. */
    CudnnGraph forward() {
        CudnnGraph graph = new CudnnGraph();
        int heads = shape.numAttentionHeads(), kvHeads = shape.numKeyValueHeads();
        Node ofQkv = offsets(graph, "qkv"), ofY = offsets(graph, "y"), ofRow = offsets(graph, "row");
        Node queryLengths = lengths(graph, "queries"), keyLengths = lengths(graph, "keys");
        Node q = heads(graph, "q", heads, qkvStride, ofQkv), k = transposedHeads(graph, "k", kvHeads, qkvStride, ofQkv), v = heads(graph, "v", kvHeads, qkvStride, ofQkv);
        Node scale = graph.scalar("scale"), products = virtualFull(graph, FLOAT);
        graph.matmul(q, k, products, new Lengths(queryLengths, keyLengths, null));
        Node scores = graph.binary(CUDNN_POINTWISE_MUL, products, scale, virtualFull(graph, FLOAT));
        Node masked = masked(graph, scores, queryLengths, keyLengths);
        Node max = graph.reduce(CUDNN_REDUCE_TENSOR_MAX, masked, virtualRow(graph));
        Node exponentials = graph.unary(CUDNN_POINTWISE_EXP, graph.binary(CUDNN_POINTWISE_SUB, masked, max, virtualFull(graph, FLOAT)), virtualFull(graph, FLOAT));
        Node sum = graph.reduce(CUDNN_REDUCE_TENSOR_ADD, exponentials, virtualRow(graph));
        Node log = graph.unary(CUDNN_POINTWISE_LOG, sum, virtualRow(graph));
        graph.binary(CUDNN_POINTWISE_ADD, max, log, row(graph, "logSumExp", ofRow));
        Node weights = graph.binary(CUDNN_POINTWISE_DIV, exponentials, sum, virtualFull(graph, HALF));
        graph.matmul(weights, v, heads(graph, "y", heads, yStride, ofY), new Lengths(queryLengths, null, keyLengths));
        return graph;
    }

    /** Reads q, k, v, y, dY, logSumExp, scale, one, minusInfinity; writes dQ, dK, dV, and delta and, unless deterministic, dQSum on the way. */
    CudnnGraph backward() {
        CudnnGraph graph = new CudnnGraph();
        int heads = shape.numAttentionHeads(), kvHeads = shape.numKeyValueHeads(), dim = shape.headDim();
        Node ofQkv = offsets(graph, "qkv"), ofY = offsets(graph, "y"), ofDY = offsets(graph, "dY"), ofDQkv = offsets(graph, "dQkv"), ofRow = offsets(graph, "row");
        Node queryLengths = lengths(graph, "queries"), keyLengths = lengths(graph, "keys");
        Node q = heads(graph, "q", heads, qkvStride, ofQkv), k = transposedHeads(graph, "k", kvHeads, qkvStride, ofQkv), v = transposedHeads(graph, "v", kvHeads, qkvStride, ofQkv);
        Node y = heads(graph, "y", heads, yStride, ofY), dY = heads(graph, "dY", heads, dYStride, ofDY), logSumExp = row(graph, "logSumExp", ofRow);
        Node one = graph.scalar("one"), scale = graph.scalar("scale");
        long[] queryDims = dims(heads, length, dim), keyDims = dims(kvHeads, length, dim);
        long[] queryStrides = {(long) heads * length * dim, (long) length * dim, dim, 1};

        Node products = graph.binary(CUDNN_POINTWISE_MUL, dY, y, graph.virtual(queryDims, new long[] {(long) heads * length * dim, (long) length * dim, (long) heads * dim, 1}, FLOAT));
        Node delta = graph.binary(CUDNN_POINTWISE_MUL, graph.reduce(CUDNN_REDUCE_TENSOR_ADD, products, virtualRow(graph)), one, delta(graph));
        Node scores = virtualFull(graph, FLOAT);
        graph.matmul(q, k, scores, new Lengths(queryLengths, keyLengths, null));
        Node scaled = graph.binary(CUDNN_POINTWISE_MUL, scores, scale, virtualFull(graph, FLOAT));
        Node logs = graph.binary(CUDNN_POINTWISE_SUB, scaled, logSumExp, virtualFull(graph, FLOAT));
        Node weights = graph.unary(CUDNN_POINTWISE_EXP, masked(graph, logs, queryLengths, keyLengths), virtualFull(graph, FLOAT));

        Node transposed = graph.reshape(weights, transposed(graph));
        keyGradient(graph, transposed, dY, heads(graph, "dV", kvHeads, dQkvStride, ofDQkv), queryDims, queryStrides, queryLengths, keyLengths);
        Node dWeights = virtualFull(graph, FLOAT);
        graph.matmul(dY, v, dWeights, new Lengths(queryLengths, keyLengths, null));
        Node centred = graph.binary(CUDNN_POINTWISE_SUB, dWeights, delta, virtualFull(graph, FLOAT));
        Node dScaled = graph.binary(CUDNN_POINTWISE_MUL, centred, weights, virtualFull(graph, FLOAT));
        Node dScores = graph.binary(CUDNN_POINTWISE_MUL, dScaled, scale, virtualFull(graph, FLOAT));
        keyGradient(graph, graph.reshape(dScores, transposed(graph)), q, heads(graph, "dK", kvHeads, dQkvStride, ofDQkv), queryDims, queryStrides, queryLengths, keyLengths);

        Node keys = graph.reshape(k, graph.virtual(keyDims, new long[] {length * qkvStride, dim, qkvStride, 1}, HALF));
        Node dQ = heads(graph, "dQ", heads, dQkvStride, ofDQkv);
        Lengths lengths = new Lengths(queryLengths, null, keyLengths);
        if (deterministic) {
            graph.matmul(dScores, keys, dQ, lengths);
        } else {
            Node sum = graph.real("dQSum", queryDims, queryStrides, FLOAT);
            graph.matmul(dScores, keys, sum, lengths);
            graph.unary(CUDNN_POINTWISE_IDENTITY, sum, dQ);
        }
        return graph;
    }

    private Node delta(CudnnGraph graph) {
        long heads = shape.numAttentionHeads();
        return graph.real("delta", dims(heads, length, 1), new long[] {heads * length, length, 1, 1}, FLOAT);
    }

    private Node transposed(CudnnGraph graph) {
        long s = length;
        return graph.virtual(full(), new long[] {shape.numAttentionHeads() * s * s, s * s, 1, s}, HALF);
    }

    /** The sum over the queries of a group, where there are groups. */
    private void keyGradient(CudnnGraph graph, Node transposed, Node with, Node gradient, long[] queryDims, long[] queryStrides, Node queryLengths, Node keyLengths) {
        Lengths lengths = new Lengths(keyLengths, null, queryLengths);
        if (shape.numAttentionHeads() == shape.numKeyValueHeads()) {
            graph.matmul(transposed, with, gradient, lengths);
        } else {
            Node each = graph.virtual(queryDims, queryStrides, HALF);
            graph.matmul(transposed, with, each, lengths);
            graph.reduce(CUDNN_REDUCE_TENSOR_ADD, each, gradient);
        }
    }

    /** Into how many equal parts the heads may go, one after the other, with enough blocks of 128 keys in each to keep a device busy. */
    int mostParts() {
        long blocks = (long) count * shape.numAttentionHeads() * Math.ceilDiv(length, KEYS_OF_A_BLOCK);
        int parts = 1;
        while (blocks / (2 * parts) >= BUSY_BLOCKS && shape.numKeyValueHeads() % (2 * parts) == 0 && shape.numAttentionHeads() / (2 * parts) % HEADS_OF_AN_ALIGNMENT == 0) {
            parts *= 2;
        }
        return parts;
    }

    /** The same for one of {@code parts} parts of the heads. */
    FlashGraphs part(int parts) {
        AttentionShape part = new AttentionShape(shape.numAttentionHeads() / parts, shape.numKeyValueHeads() / parts, shape.headDim(), shape.slidingWindow(), shape.scale());
        return new FlashGraphs(part, rowHeads, count, length, varying, qkvStride, yStride, dYStride, dQkvStride, deterministic);
    }

    /**
     * Bytes that cuDNN 9.19 asks for on an H200 to add the queries' gradients in a fixed order: one float32 copy of them for each 256 keys, and one more. Otherwise
     * next to nothing.
     */
    long workspaceBytes() {
        return deterministic ? 4 * deltaElements() * shape.headDim() * (Math.ceilDiv(length, 256) + 1) : 0;
    }

    /** Floats of the buffer {@code delta}. */
    long deltaElements() {
        return (long) count * shape.numAttentionHeads() * length;
    }

    /** Floats of the buffer {@code dQSum}. */
    long sumElements() {
        return deterministic ? 0 : deltaElements() * shape.headDim();
    }
}
