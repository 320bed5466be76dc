package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.cuModuleGetFunction;
import static org.bytedeco.cuda.global.cudart.cuModuleLoadData;
import static org.bytedeco.cuda.global.cudart.cuModuleUnload;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.cuda.cudart.CUfunc_st;
import org.bytedeco.cuda.cudart.CUmod_st;
import org.bytedeco.javacpp.BytePointer;

/** The kernels of a device, loaded at first use. */
final class Kernels implements AutoCloseable {
    /** Kernels that wait themselves for what they need of the one before, see {@code wait_for_previous} in the sources. */
    private static final Set<String> WAITING = Set.of("rms_norm", "rms_norm8", "head_norm", "rope", "rope8", "silu", "silu8", "gelu", "gelu8", "gelu_tanh", "gelu_tanh8", "relu", "relu8", "relu_squared", "relu_squared8",
            "layer_norm", "gather_rows", "four_bit_few_rows", "four_bit_nested_few_rows", "bf16_few_rows", "any_few_rows", "inner_few_rows", "decode_attention", "highest_token",
            "scores_that_stay", "random_token");

    private final CudaDevice device;
    private final CubinCache cubins;
    private final List<String> options;
    private final Map<String, CUmod_st> modules = new HashMap<>();
    private final Map<String, Kernel> kernels = new HashMap<>();

    Kernels(CudaDevice device, CubinCache cubins) {
        this.device = device;
        this.cubins = cubins;
        this.options = List.of("--gpu-architecture=" + device.architecture(), "-default-device");
    }

    /** Kernel {@code name}, whose name is its own among all sources. */
    Kernel get(String source, String name) {
        Kernel kernel = kernels.get(name);
        return kernel != null ? kernel : load(source, name);
    }

    private Kernel load(String source, String name) {
        device.bind();
        CUmod_st module = modules.computeIfAbsent(source, this::module);
        CUfunc_st function = new CUfunc_st();
        CudaDevice.check("cuModuleGetFunction " + name, cuModuleGetFunction(function, module, name));
        Kernel kernel = new Kernel(device, name, function, WAITING.contains(name));
        kernels.put(name, kernel);
        return kernel;
    }

    private CUmod_st module(String name) {
        CUmod_st module = new CUmod_st();
        try (BytePointer image = new BytePointer(cubins.get(KernelSource.of(name), options))) {
            CudaDevice.check("cuModuleLoadData " + name, cuModuleLoadData(module, image));
        }
        return module;
    }

    @Override
    public void close() {
        device.bind();
        modules.values().forEach(module -> CudaDevice.check("cuModuleUnload", cuModuleUnload(module)));
        modules.clear();
        kernels.clear();
    }
}
