package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudnn.*;

import java.util.List;
import org.bytedeco.cuda.cudnn.cudnnBackendDescriptor_t;
import org.bytedeco.cuda.cudnn.cudnnContext;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;

/** A graph that is compiled for the device. Building one takes about half a second, so they are kept. */
final class CudnnPlan implements AutoCloseable {
    private final CudnnGraph graph;
    private final cudnnBackendDescriptor_t plan;
    private final List<CudnnGraph.Node> bound;
    private final LongPointer ids;
    private final PointerPointer<Pointer> addresses;
    private final PointerPointer<Pointer> workspace = new PointerPointer<>(1);
    private final Address[] at;
    private final Address atWorkspace = new Address();
    private final long workspaceBytes;

    private CudnnPlan(CudnnGraph graph, cudnnBackendDescriptor_t plan) {
        this.graph = graph;
        this.plan = plan;
        this.bound = graph.bound();
        this.ids = new LongPointer(bound.stream().mapToLong(CudnnGraph.Node::id).toArray());
        this.addresses = new PointerPointer<>(bound.size());
        this.at = new Address[bound.size()];
        java.util.Arrays.setAll(at, i -> new Address());
        try (LongPointer bytes = new LongPointer(1); LongPointer count = new LongPointer(1)) {
            CudnnGraph.check("cudnnBackendGetAttribute workspace", cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, count, bytes));
            this.workspaceBytes = bytes.get();
        }
    }

    /**
     * Compiles {@code graph}, which the plan then owns.
     *
     * @return null if cuDNN has no engine for the graph
     */
    static CudnnPlan build(cudnnContext handle, CudnnGraph graph) {
        cudnnBackendDescriptor_t operations = CudnnGraph.newDescriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
        cudnnBackendDescriptor_t heuristic = CudnnGraph.newDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
        try (PointerPointer<Pointer> handles = new PointerPointer<>(1)) {
            CudnnGraph.setDescriptors(operations, CUDNN_ATTR_OPERATIONGRAPH_OPS, graph.operations().toArray(cudnnBackendDescriptor_t[]::new));
            CudnnGraph.set(operations, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, handles.put(0, handle));
            CudnnGraph.finished(operations);
            CudnnGraph.setDescriptors(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, operations);
            CudnnGraph.setEnum(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A);
            CudnnGraph.finished(heuristic);
            return first(heuristic, graph);
        } catch (CudaException refused) {
            graph.close();
            return null;
        } finally {
            cudnnBackendDestroyDescriptor(heuristic);
            cudnnBackendDestroyDescriptor(operations);
        }
    }

    /** The first configuration that can be compiled. */
    private static CudnnPlan first(cudnnBackendDescriptor_t heuristic, CudnnGraph graph) {
        try (LongPointer count = new LongPointer(1)) {
            CudnnGraph.check("cudnnBackendGetAttribute results", cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, count, null));
            int most = (int) count.get();
            try (PointerPointer<Pointer> pointers = new PointerPointer<>(Math.max(1, most))) {
                cudnnBackendDescriptor_t[] configurations = new cudnnBackendDescriptor_t[most];
                for (int i = 0; i < most; i++) {
                    configurations[i] = CudnnGraph.newDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
                    pointers.put(i, configurations[i]);
                }
                CudnnGraph.check("cudnnBackendGetAttribute results",
                        cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, count, pointers));
                CudnnPlan built = null;
                for (int i = 0; i < count.get() && built == null; i++) {
                    cudnnBackendDescriptor_t plan = CudnnGraph.newDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
                    CudnnGraph.setDescriptors(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configurations[i]);
                    if (cudnnBackendFinalize(plan) == 0) {
                        built = new CudnnPlan(graph, plan);
                    } else {
                        cudnnBackendDestroyDescriptor(plan);
                    }
                }
                for (cudnnBackendDescriptor_t configuration : configurations) {
                    cudnnBackendDestroyDescriptor(configuration);
                }
                if (built == null) {
                    graph.close();
                }
                return built;
            }
        }
    }

    long workspaceBytes() {
        return workspaceBytes;
    }

    /** Gives the tensor {@code name} an address for the next run; a name that the graph does not have is ignored. */
    CudnnPlan bind(String name, long address) {
        for (int i = 0; i < at.length; i++) {
            if (bound.get(i).name().equals(name)) {
                addresses.put(i, at[i].at(address));
            }
        }
        return this;
    }

    void run(cudnnContext handle, long workspaceAddress) {
        cudnnBackendDescriptor_t pack = CudnnGraph.newDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
        try {
            CudnnGraph.set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, at.length, addresses);
            CudnnGraph.set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, at.length, ids);
            CudnnGraph.set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, workspace.put(0, atWorkspace.at(workspaceAddress)));
            CudnnGraph.finished(pack);
            CudnnGraph.check("cudnnBackendExecute", cudnnBackendExecute(handle, plan, pack));
        } finally {
            cudnnBackendDestroyDescriptor(pack);
        }
    }

    @Override
    public void close() {
        cudnnBackendDestroyDescriptor(plan);
        graph.close();
        ids.close();
        addresses.close();
        workspace.close();
    }
}
