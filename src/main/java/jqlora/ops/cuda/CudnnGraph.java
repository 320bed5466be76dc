package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudnn.*;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.cuda.cudnn.cudnnBackendDescriptor_t;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;

/**
 * A graph of cuDNN operations under construction. Tensors have four dimensions and a name; virtual ones exist inside the kernel only.
 *
 * @see <a href="https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-graph-library.html">cuDNN graph library</a>
 */
final class CudnnGraph implements AutoCloseable {
    private static final int ALIGNMENT = 16, MESSAGE_BYTES = 4096;

    /** A tensor of the graph. */
    record Node(String name, long id, cudnnBackendDescriptor_t descriptor) { }

    /** Lengths that vary from sequence to sequence, for a product's three extents; null for one that does not. */
    record Lengths(Node m, Node n, Node k) {
        static final Lengths NONE = new Lengths(null, null, null);
    }

    private final List<cudnnBackendDescriptor_t> made = new ArrayList<>();
    private final List<cudnnBackendDescriptor_t> operations = new ArrayList<>();
    private final Map<String, Node> bound = new LinkedHashMap<>();
    private long nextId = 1;

    /** What must be given an address when the graph is run, by name. */
    List<Node> bound() {
        return List.copyOf(bound.values());
    }

    List<cudnnBackendDescriptor_t> operations() {
        return operations;
    }

    // ---- tensors

    /** In the device's memory. */
    Node real(String name, long[] dims, long[] strides, int type) {
        return real(name, dims, strides, type, null);
    }

    /** @param offsets where each sequence begins, in elements; null where all are equally long */
    Node real(String name, long[] dims, long[] strides, int type, Node offsets) {
        cudnnBackendDescriptor_t descriptor = tensor(dims, strides, type);
        if (offsets != null) {
            setDescriptors(descriptor, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, offsets.descriptor);
        }
        return bind(name, descriptor);
    }

    /** One float that is given by its address in host memory. */
    Node scalar(String name) {
        cudnnBackendDescriptor_t descriptor = tensor(new long[] {1, 1, 1, 1}, new long[] {1, 1, 1, 1}, CUDNN_DATA_FLOAT);
        setFlag(descriptor, CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
        return bind(name, descriptor);
    }

    private Node bind(String name, cudnnBackendDescriptor_t descriptor) {
        Node node = new Node(name, nextId++, finished(descriptor));
        bound.put(name, node);
        return node;
    }

    Node virtual(long[] dims, long[] strides, int type) {
        cudnnBackendDescriptor_t descriptor = tensor(dims, strides, type);
        setFlag(descriptor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
        return new Node(null, nextId++, finished(descriptor));
    }

    private cudnnBackendDescriptor_t tensor(long[] dims, long[] strides, int type) {
        cudnnBackendDescriptor_t descriptor = create(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
        setEnum(descriptor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type);
        setNumbers(descriptor, CUDNN_ATTR_TENSOR_DIMENSIONS, dims);
        setNumbers(descriptor, CUDNN_ATTR_TENSOR_STRIDES, strides);
        setNumbers(descriptor, CUDNN_ATTR_TENSOR_UNIQUE_ID, nextId);
        setNumbers(descriptor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, ALIGNMENT);
        return descriptor;
    }

    // ---- operations

    void matmul(Node a, Node b, Node c, Lengths lengths) {
        cudnnBackendDescriptor_t product = create(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
        setEnum(product, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
        cudnnBackendDescriptor_t operation = create(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
        setDescriptors(operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a.descriptor);
        setDescriptors(operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b.descriptor);
        setDescriptors(operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c.descriptor);
        setDescriptors(operation, CUDNN_ATTR_OPERATION_MATMUL_DESC, finished(product));
        override(operation, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, lengths.m);
        override(operation, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, lengths.n);
        override(operation, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, lengths.k);
        operations.add(finished(operation));
    }

    private static void override(cudnnBackendDescriptor_t operation, int attribute, Node lengths) {
        if (lengths != null) {
            setDescriptors(operation, attribute, lengths.descriptor);
        }
    }

    /** {@code y = mode(x)}. */
    Node unary(int mode, Node x, Node y) {
        return pointwise(mode, CUDNN_DATA_FLOAT, -1, x, null, null, y);
    }

    /** {@code y = mode(x, b)}. */
    Node binary(int mode, Node x, Node b, Node y) {
        return pointwise(mode, CUDNN_DATA_FLOAT, -1, x, b, null, y);
    }

    /** {@code y}: the index along {@code axis}. */
    Node index(int precision, int axis, Node x, Node y) {
        return pointwise(CUDNN_POINTWISE_GEN_INDEX, precision, axis, x, null, null, y);
    }

    /** {@code y = mode(x, b)}, yes or no. */
    Node compare(int mode, Node x, Node b, Node y) {
        return pointwise(mode, CUDNN_DATA_BOOLEAN, -1, x, b, null, y);
    }

    /** {@code y = mask ? x : b}. */
    Node select(Node x, Node b, Node mask, Node y) {
        return pointwise(CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT, -1, x, b, mask, y);
    }

    private Node pointwise(int mode, int precision, int axis, Node x, Node b, Node t, Node y) {
        cudnnBackendDescriptor_t function = create(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
        setEnum(function, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
        setEnum(function, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, precision);
        if (axis >= 0) {
            setNumbers(function, CUDNN_ATTR_POINTWISE_AXIS, axis);
        }
        cudnnBackendDescriptor_t operation = create(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
        setDescriptors(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, finished(function));
        setDescriptors(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x.descriptor);
        setDescriptors(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y.descriptor);
        if (b != null) {
            setDescriptors(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b.descriptor);
        }
        if (t != null) {
            setDescriptors(operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t.descriptor);
        }
        setFloat(operation, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, 1f);
        setFloat(operation, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, 1f);
        operations.add(finished(operation));
        return y;
    }

    Node reduce(int operator, Node x, Node y) {
        cudnnBackendDescriptor_t reduction = create(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
        setEnum(reduction, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
        setEnum(reduction, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, operator);
        setFlag(reduction, CUDNN_ATTR_REDUCTION_IS_DETERMINISTIC, false);
        cudnnBackendDescriptor_t operation = create(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
        setDescriptors(operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC, finished(reduction));
        setDescriptors(operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x.descriptor);
        setDescriptors(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y.descriptor);
        operations.add(finished(operation));
        return y;
    }

    /** The same elements, read with other dimensions or strides. */
    Node reshape(Node x, Node y) {
        cudnnBackendDescriptor_t operation = create(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
        setDescriptors(operation, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x.descriptor);
        setDescriptors(operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y.descriptor);
        operations.add(finished(operation));
        return y;
    }

    // ---- descriptors

    private cudnnBackendDescriptor_t create(int type) {
        cudnnBackendDescriptor_t descriptor = newDescriptor(type);
        made.add(descriptor);
        return descriptor;
    }

    static cudnnBackendDescriptor_t newDescriptor(int type) {
        cudnnBackendDescriptor_t descriptor = new cudnnBackendDescriptor_t();
        check("cudnnBackendCreateDescriptor", cudnnBackendCreateDescriptor(type, descriptor));
        return descriptor;
    }

    static cudnnBackendDescriptor_t finished(cudnnBackendDescriptor_t descriptor) {
        check("cudnnBackendFinalize", cudnnBackendFinalize(descriptor));
        return descriptor;
    }

    static void setNumbers(cudnnBackendDescriptor_t descriptor, int attribute, long... values) {
        try (LongPointer pointer = new LongPointer(values)) {
            set(descriptor, attribute, CUDNN_TYPE_INT64, values.length, pointer);
        }
    }

    static void setEnum(cudnnBackendDescriptor_t descriptor, int attribute, int type, int value) {
        try (IntPointer pointer = new IntPointer(1)) {
            set(descriptor, attribute, type, 1, pointer.put(value));
        }
    }

    private static void setFloat(cudnnBackendDescriptor_t descriptor, int attribute, float value) {
        try (FloatPointer pointer = new FloatPointer(1)) {
            set(descriptor, attribute, CUDNN_TYPE_FLOAT, 1, pointer.put(value));
        }
    }

    private static void setFlag(cudnnBackendDescriptor_t descriptor, int attribute, boolean value) {
        try (BytePointer pointer = new BytePointer(1)) {
            set(descriptor, attribute, CUDNN_TYPE_BOOLEAN, 1, pointer.put((byte) (value ? 1 : 0)));
        }
    }

    static void setDescriptors(cudnnBackendDescriptor_t descriptor, int attribute, cudnnBackendDescriptor_t... values) {
        try (PointerPointer<Pointer> pointers = new PointerPointer<>(values.length)) {
            for (int i = 0; i < values.length; i++) {
                pointers.put(i, values[i]);
            }
            set(descriptor, attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, values.length, pointers);
        }
    }

    static void set(cudnnBackendDescriptor_t descriptor, int attribute, int type, long count, Pointer values) {
        int code = cudnnBackendSetAttribute(descriptor, attribute, type, count, values);
        if (code != 0) {
            check("cudnnBackendSetAttribute " + attribute, code);
        }
    }

    /** @throws CudaException with cuDNN's own words if {@code code} is not success */
    static void check(String call, int code) {
        if (code != 0) {
            byte[] message = new byte[MESSAGE_BYTES];
            cudnnGetLastErrorString(message, MESSAGE_BYTES);
            throw CudaException.of(call, code, cudnnGetErrorString(code).getString(), new String(message, java.nio.charset.StandardCharsets.UTF_8).replaceAll("\0.*", ""));
        }
    }

    @Override
    public void close() {
        made.reversed().forEach(descriptor -> cudnnBackendDestroyDescriptor(descriptor));
    }
}
