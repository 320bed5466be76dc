package jqlora.ops.cuda;

import static org.bytedeco.cuda.global.cudart.cuModuleGetFunction;
import static org.bytedeco.cuda.global.cudart.cuModuleLoadData;
import static org.bytedeco.cuda.global.cudart.cuModuleUnload;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.bytedeco.cuda.cudart.CUfunc_st;
import org.bytedeco.cuda.cudart.CUmod_st;
import org.bytedeco.javacpp.BytePointer;

/** The kernels of a device, compiled at first use and kept in memory and, where there is a folder for it, on disk. */
final class Kernels implements AutoCloseable {
    private final CudaDevice device;
    private final Nvrtc nvrtc;
    private final Path cache;
    private final List<String> options;
    private final Map<String, CUmod_st> modules = new HashMap<>();
    private final Map<String, Kernel> kernels = new HashMap<>();

    /** @param cache null for none */
    Kernels(CudaDevice device, Nvrtc nvrtc, Path cache) {
        this.device = device;
        this.nvrtc = nvrtc;
        this.cache = cache;
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
        Kernel kernel = new Kernel(device, name, function);
        kernels.put(name, kernel);
        return kernel;
    }

    private CUmod_st module(String name) {
        CUmod_st module = new CUmod_st();
        try (BytePointer image = new BytePointer(cubin(KernelSource.of(name)))) {
            CudaDevice.check("cuModuleLoadData " + name, cuModuleLoadData(module, image));
        }
        return module;
    }

    private byte[] cubin(KernelSource source) {
        if (cache == null) {
            return nvrtc.compile(source, options).cubin();
        }
        Path file = cache.resolve(source.name() + "-" + key(source) + ".cubin");
        try {
            if (Files.isRegularFile(file)) {
                return Files.readAllBytes(file);
            }
            byte[] cubin = nvrtc.compile(source, options).cubin();
            Files.createDirectories(cache);
            Path part = Files.createTempFile(cache, source.name(), ".part");
            Files.write(part, cubin);
            Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            return cubin;
        } catch (IOException unusable) {
            throw new CudaException("CUDA: the folder for compiled kernels, " + cache + ", cannot be used: " + unusable);
        }
    }

    /** All that the machine code depends on. */
    private String key(KernelSource source) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (String part : List.of(source.text(), source.common(), String.join(" ", options), nvrtc.version(), device.name(), Integer.toString(device.driverVersion()))) {
                digest.update(part.getBytes(StandardCharsets.UTF_8));
                digest.update((byte) 0);
            }
            return HexFormat.of().formatHex(digest.digest(), 0, 12);
        } catch (NoSuchAlgorithmException absent) {
            throw new AssertionError("every Java has SHA-256", absent);
        }
    }

    @Override
    public void close() {
        device.bind();
        modules.values().forEach(module -> CudaDevice.check("cuModuleUnload", cuModuleUnload(module)));
        modules.clear();
        kernels.clear();
    }
}
