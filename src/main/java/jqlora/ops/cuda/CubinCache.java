package jqlora.ops.cuda;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;

/**
 * Machine code of kernels, compiled once and kept in a folder under a name that changes with all that it depends on.
 *
 * @param folder null to compile each time
 * @param device what is known of the device and its driver
 */
record CubinCache(Nvrtc nvrtc, Path folder, String device) {
    /** @throws CudaException if the folder cannot be used, or the source does not compile */
    byte[] get(KernelSource source, List<String> options) {
        if (folder == null) {
            return nvrtc.compile(source, options).cubin();
        }
        Path file = folder.resolve(source.name() + "-" + key(source, options) + ".cubin");
        try {
            if (Files.isRegularFile(file)) {
                return Files.readAllBytes(file);
            }
            byte[] cubin = nvrtc.compile(source, options).cubin();
            Files.createDirectories(folder);
            Path part = Files.createTempFile(folder, source.name(), ".part");
            Files.write(part, cubin);
            Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            return cubin;
        } catch (IOException unusable) {
            throw new CudaException("CUDA: the folder for compiled kernels, " + folder + ", cannot be used: " + unusable);
        }
    }

    private String key(KernelSource source, List<String> options) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (String part : List.of(source.text(), source.common(), String.join(" ", options), nvrtc.version(), device)) {
                digest.update(part.getBytes(StandardCharsets.UTF_8));
                digest.update((byte) 0);
            }
            return HexFormat.of().formatHex(digest.digest(), 0, 12);
        } catch (NoSuchAlgorithmException absent) {
            throw new AssertionError("every Java has SHA-256", absent);
        }
    }
}
