package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_DESC_A_SCALE_MODE;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_DESC_A_SCALE_POINTER;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_DESC_B_SCALE_MODE;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_DESC_B_SCALE_POINTER;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_DESC_FAST_ACCUM;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_DESC_TRANSA;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_DESC_TRANSB;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
import static org.bytedeco.cuda.global.cublas.CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
import static org.bytedeco.cuda.global.cublas.CUBLAS_COMPUTE_32F;
import static org.bytedeco.cuda.global.cublas.CUBLAS_OP_N;
import static org.bytedeco.cuda.global.cublas.CUBLAS_OP_T;
import static org.bytedeco.cuda.global.cublas.cublasLtCreate;
import static org.bytedeco.cuda.global.cublas.cublasLtDestroy;
import static org.bytedeco.cuda.global.cublas.cublasLtGetStatusName;
import static org.bytedeco.cuda.global.cublas.cublasLtGetStatusString;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmul;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulAlgoGetHeuristic;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulDescCreate;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulDescDestroy;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulDescSetAttribute;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulPreferenceCreate;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulPreferenceDestroy;
import static org.bytedeco.cuda.global.cublas.cublasLtMatmulPreferenceSetAttribute;
import static org.bytedeco.cuda.global.cublas.cublasLtMatrixLayoutCreate;
import static org.bytedeco.cuda.global.cublas.cublasLtMatrixLayoutDestroy;
import static org.bytedeco.cuda.global.cudart.CUDA_R_16BF;
import static org.bytedeco.cuda.global.cudart.CUDA_R_32F;
import static org.bytedeco.cuda.global.cudart.CUDA_R_8F_E4M3;
import static org.bytedeco.cuda.global.cudart.cuEventElapsedTime;
import static org.bytedeco.cuda.global.cudart.cuEventSynchronize;

import java.util.HashMap;
import java.util.Map;
import org.bytedeco.cuda.cublas.cublasLtContext;
import org.bytedeco.cuda.cublas.cublasLtMatmulAlgo_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulDescOpaque_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulHeuristicResult_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulPreferenceOpaque_t;
import org.bytedeco.cuda.cublas.cublasLtMatrixLayoutOpaque_t;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;

/**
 * Matrix products through cuBLASLt, bfloat16 or e4m3 factors and float32 sums. The algorithm is chosen once for each shape; schemes that add in the order in
 * which blocks arrive are left out, so a product has the same bits each time.
 */
final class Matmul implements AutoCloseable {
    private static final long WORKSPACE = 64L << 20;
    private static final int CANDIDATES = 8, TIMED = 5;
    private static final int MOST_ALIGNMENT = 256;

    /** What a matrix holds. */
    enum Element {
        BF16(2, CUDA_R_16BF), F32(4, CUDA_R_32F), E4M3(1, CUDA_R_8F_E4M3);

        private final int bytes, code;

        Element(int bytes, int code) {
            this.bytes = bytes;
            this.code = code;
        }
    }

    /** A matrix in the device's memory, row-major. */
    record Mat(long address, long stride, long rows, long columns, Element element) {
        /** bfloat16. */
        static Mat of(long address, long stride, long rows, long columns) {
            return new Mat(address, stride, rows, columns, Element.BF16);
        }

        static Mat floats(long address, long stride, long rows, long columns) {
            return new Mat(address, stride, rows, columns, Element.F32);
        }

        /** e4m3, row after row. */
        static Mat eights(long address, long rows, long columns) {
            return new Mat(address, columns, rows, columns, Element.E4M3);
        }

        static Mat of(CudaTensor tensor) {
            return of(tensor.address(), tensor.stride(), tensor.rows(), tensor.columns());
        }

        static Mat floats(CudaTensor tensor) {
            return floats(tensor.address(), tensor.columns(), tensor.rows(), tensor.columns());
        }

        /** {@code columns} columns from {@code column} on; they may lie in the room behind the rows. */
        Mat columns(long column, long columns) {
            return new Mat(address + column * element.bytes, stride, rows, columns, element);
        }

        Mat rows(long row, long rows) {
            return new Mat(address + row * stride * element.bytes, stride, rows, columns, element);
        }

        private int alignment() {
            return (int) Math.min(MOST_ALIGNMENT, Long.lowestOneBit(address | MOST_ALIGNMENT));
        }
    }

    private record Key(long m, long n, long k, boolean transposeA, boolean transposeB, long strideA, long strideB, long strideC, long strideD, Element factors, Element result,
            boolean adds, boolean scaled, int alignments) { }

    private record Plan(cublasLtMatmulDescOpaque_t product, cublasLtMatrixLayoutOpaque_t a, cublasLtMatrixLayoutOpaque_t b, cublasLtMatrixLayoutOpaque_t c,
            cublasLtMatrixLayoutOpaque_t d, cublasLtMatmulAlgo_t algorithm) { }

    private final CudaDevice device;
    private final DeviceMemory memory;
    private final CudaOptions.Tuning tuning;
    private final cublasLtContext handle = new cublasLtContext();
    private final Map<Key, Plan> plans = new HashMap<>();
    private final FloatPointer alpha = new FloatPointer(1), beta = new FloatPointer(1);
    private final LongPointer scales = new LongPointer(1);
    private final Address atA = new Address(), atB = new Address(), atC = new Address(), atD = new Address(), atWorkspace = new Address();
    private final long workspace;

    Matmul(CudaDevice device, DeviceMemory memory, CudaOptions.Tuning tuning) {
        this.device = device;
        this.memory = memory;
        this.tuning = tuning;
        device.bind();
        check("cublasLtCreate", cublasLtCreate(handle));
        workspace = memory.take(WORKSPACE);
        atWorkspace.at(workspace);
    }

    /** {@code d = a b}, either factor transposed. */
    void multiply(Mat a, boolean transposeA, Mat b, boolean transposeB, Mat d) {
        run(a, transposeA, b, transposeB, d, d, 0f, 0, 0);
    }

    /** {@code d = a b + c}; c may be d. */
    void multiplyAdd(Mat a, boolean transposeA, Mat b, boolean transposeB, Mat c, Mat d) {
        run(a, transposeA, b, transposeB, c, d, 1f, 0, 0);
    }

    /** {@code d = a b^T} of e4m3 factors. Their sums are shorter than float32, as the tensor cores add fastest. */
    void multiplyEights(Mat a, Mat b, Mat d) {
        run(a, false, b, true, d, d, 0f, 0, 0);
    }

    /**
     * {@code d = (a b^T) scaleOfRowOfA scaleOfRowOfB (+ c)} of e4m3 factors; only where {@link #scalesRows}.
     *
     * @param c may be d; null for none
     */
    void multiplyEights(Mat a, long scalesOfA, Mat b, long scalesOfB, Mat c, Mat d) {
        run(a, false, b, true, c == null ? d : c, d, c == null ? 0f : 1f, scalesOfA, scalesOfB);
    }

    /** Whether cuBLASLt takes a scale for each row of e4m3 factors on this device: of all so far, on compute capability 9.0. */
    boolean scalesRows() {
        return device.architecture().equals("sm_90");
    }

    private void run(Mat a, boolean transposeA, Mat b, boolean transposeB, Mat c, Mat d, float factorOfC, long scalesOfA, long scalesOfB) {
        long m = d.rows, n = d.columns, k = transposeA ? a.rows : a.columns;
        assert (transposeA ? a.columns : a.rows) == m && (transposeB ? b.rows : b.columns) == n && (transposeB ? b.columns : b.rows) == k : a + " " + b + " " + d;
        if (m == 0 || n == 0) {
            return;
        }
        device.bind();
        alpha.put(1f);
        beta.put(factorOfC);
        // cuBLASLt counts columns first: a row-major matrix is its transpose there, so the factors change places
        atA.at(b.address);
        atB.at(a.address);
        atC.at(c.address);
        atD.at(d.address);
        int alignments = b.alignment() + (a.alignment() << 9) + (Math.min(c.alignment(), d.alignment()) << 18);
        Key key = new Key(m, n, k, transposeA, transposeB, a.stride, b.stride, c.stride, d.stride, a.element, d.element, factorOfC != 0, scalesOfA != 0,
                alignments);
        Plan plan = plans.get(key);
        if (plan == null) {
            plan = plan(key, a, b, c, d, scalesOfA, scalesOfB);
            plans.put(key, plan);
        }
        if (key.scaled) {
            setScales(plan.product, scalesOfA, scalesOfB);
        }
        launch(plan);
    }

    private void launch(Plan plan) {
        int code = start(plan, plan.algorithm);
        if (code != 0) {
            throw failure("cublasLtMatmul", code);
        }
    }

    private int start(Plan plan, cublasLtMatmulAlgo_t algorithm) {
        return cublasLtMatmul(handle, plan.product, alpha, atA, plan.a, atB, plan.b, beta, atC, plan.c, atD, plan.d, algorithm, atWorkspace, WORKSPACE, device.stream());
    }

    // ---- plans

    private Plan plan(Key key, Mat a, Mat b, Mat c, Mat d, long scalesOfA, long scalesOfB) {
        try (PointerPointer<Pointer> made = new PointerPointer<>(1)) {
            check("cublasLtMatmulDescCreate", cublasLtMatmulDescCreate(made, CUBLAS_COMPUTE_32F, CUDA_R_32F));
            cublasLtMatmulDescOpaque_t product = new cublasLtMatmulDescOpaque_t(made.get(0));
            set(product, CUBLASLT_MATMUL_DESC_TRANSA, key.transposeB ? CUBLAS_OP_T : CUBLAS_OP_N);
            set(product, CUBLASLT_MATMUL_DESC_TRANSB, key.transposeA ? CUBLAS_OP_T : CUBLAS_OP_N);
            if (key.factors == Element.E4M3) {
                try (BytePointer fast = new BytePointer(1)) {
                    check("cublasLtMatmulDescSetAttribute", cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_FAST_ACCUM, fast.put((byte) 1), 1));
                }
            }
            if (key.scaled) {
                set(product, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
                set(product, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
                setScales(product, scalesOfA, scalesOfB);
            }
            Plan shape = new Plan(product, layout(made, b), layout(made, a), layout(made, c), layout(made, d), null);
            return new Plan(product, shape.a, shape.b, shape.c, shape.d, algorithm(key, shape, made));
        }
    }

    private void setScales(cublasLtMatmulDescOpaque_t product, long scalesOfA, long scalesOfB) {
        check("cublasLtMatmulDescSetAttribute", cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scales.put(scalesOfB), Long.BYTES));
        check("cublasLtMatmulDescSetAttribute", cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scales.put(scalesOfA), Long.BYTES));
    }

    private static cublasLtMatrixLayoutOpaque_t layout(PointerPointer<Pointer> made, Mat matrix) {
        check("cublasLtMatrixLayoutCreate", cublasLtMatrixLayoutCreate(made, matrix.element.code, matrix.columns, matrix.rows, matrix.stride));
        return new cublasLtMatrixLayoutOpaque_t(made.get(0));
    }

    private static void set(cublasLtMatmulDescOpaque_t product, int attribute, int value) {
        try (IntPointer pointer = new IntPointer(1)) {
            check("cublasLtMatmulDescSetAttribute", cublasLtMatmulDescSetAttribute(product, attribute, pointer.put(value), Integer.BYTES));
        }
    }

    private cublasLtMatmulAlgo_t algorithm(Key key, Plan shape, PointerPointer<Pointer> made) {
        check("cublasLtMatmulPreferenceCreate", cublasLtMatmulPreferenceCreate(made));
        cublasLtMatmulPreferenceOpaque_t preference = new cublasLtMatmulPreferenceOpaque_t(made.get(0));
        int wanted = tuning == CudaOptions.Tuning.MEASURED ? CANDIDATES : 1;
        try (LongPointer bytes = new LongPointer(1); IntPointer number = new IntPointer(1);
                cublasLtMatmulHeuristicResult_t results = new cublasLtMatmulHeuristicResult_t(wanted)) {
            check("cublasLtMatmulPreferenceSetAttribute", cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, bytes.put(WORKSPACE), Long.BYTES));
            set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE);
            set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.alignments & 511);
            set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.alignments >> 9 & 511);
            set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.alignments >> 18 & 511);
            set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.alignments >> 18 & 511);
            int code = cublasLtMatmulAlgoGetHeuristic(handle, shape.product, shape.a, shape.b, shape.c, shape.d, preference, wanted, results, number);
            if (code != 0 || number.get() == 0) {
                throw failure("cublasLtMatmulAlgoGetHeuristic " + key, code);
            }
            int best = number.get() == 1 || key.adds && atC.address() == atD.address() ? 0 : fastest(shape, results, number.get());
            cublasLtMatmulAlgo_t algorithm = new cublasLtMatmulAlgo_t();
            Pointer.memcpy(algorithm, results.getPointer(best).algo(), algorithm.sizeof());
            return algorithm;
        } finally {
            cublasLtMatmulPreferenceDestroy(preference);
        }
    }

    private static void set(cublasLtMatmulPreferenceOpaque_t preference, int attribute, int value) {
        try (IntPointer pointer = new IntPointer(1)) {
            check("cublasLtMatmulPreferenceSetAttribute", cublasLtMatmulPreferenceSetAttribute(preference, attribute, pointer.put(value), Integer.BYTES));
        }
    }

    /** Runs each candidate on the product's own operands: the result is overwritten, so it may be computed several times. */
    private int fastest(Plan shape, cublasLtMatmulHeuristicResult_t results, int count) {
        CUevent_st from = device.newTimer(), to = device.newTimer();
        float[] elapsed = new float[1];
        float least = Float.POSITIVE_INFINITY;
        int best = 0;
        for (int i = 0; i < count; i++) {
            cublasLtMatmulAlgo_t algorithm = results.getPointer(i).algo();
            if (start(shape, algorithm) != 0) {
                continue;
            }
            device.record(from, device.stream());
            for (int repeat = 0; repeat < TIMED; repeat++) {
                start(shape, algorithm);
            }
            device.record(to, device.stream());
            CudaDevice.check("cuEventSynchronize", cuEventSynchronize(to));
            CudaDevice.check("cuEventElapsedTime", cuEventElapsedTime(elapsed, from, to));
            if (elapsed[0] < least) {
                least = elapsed[0];
                best = i;
            }
        }
        device.destroy(from);
        device.destroy(to);
        return best;
    }

    private static void check(String call, int code) {
        if (code != 0) {
            throw failure(call, code);
        }
    }

    private static CudaException failure(String call, int code) {
        return CudaException.of(call, code, cublasLtGetStatusName(code).getString(), cublasLtGetStatusString(code).getString());
    }

    @Override
    public void close() {
        device.synchronize();
        for (Plan plan : plans.values()) {
            cublasLtMatmulDescDestroy(plan.product);
            for (cublasLtMatrixLayoutOpaque_t layout : new cublasLtMatrixLayoutOpaque_t[] {plan.a, plan.b, plan.c, plan.d}) {
                cublasLtMatrixLayoutDestroy(layout);
            }
            plan.algorithm.close();
        }
        plans.clear();
        memory.giveBack(workspace);
        check("cublasLtDestroy", cublasLtDestroy(handle));
    }
}
