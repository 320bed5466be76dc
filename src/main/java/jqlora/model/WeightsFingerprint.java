package jqlora.model;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Collection;
import java.util.HexFormat;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import jqlora.ops.Ops;
import jqlora.ops.Parameter;
import jqlora.tensor.Workers;

/**
 * A short text that two sets of weights share only if every tensor has the same name, shape and bytes and is kept as the same type or 4-bit format. Into
 * which files a checkpoint is cut does not matter.
 *
 * @param text 32 hexadecimal digits
 */
public record WeightsFingerprint(String text) {
    private static final int DIGITS = 32;

    /** Of {@code prints}, in whatever order they come. */
    static WeightsFingerprint of(Stream<TensorPrint> prints) {
        String lines = prints.map(TensorPrint::toString).sorted().collect(Collectors.joining("\n"));
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(lines.getBytes(StandardCharsets.UTF_8));
            return new WeightsFingerprint(HexFormat.of().formatHex(digest).substring(0, DIGITS));
        } catch (NoSuchAlgorithmException impossible) {
            throw new AssertionError("every Java platform has SHA-256", impossible);
        }
    }

    /** Of the numbers that {@code parameters} have now, such as those of an adapter, or of a model that is trained itself; each is copied to the host. */
    public static WeightsFingerprint ofValues(Ops ops, Collection<Parameter> parameters) {
        try (Workers workers = new Workers(ops.threads())) {
            return of(parameters.stream().map(parameter -> TensorPrint.of(ops, parameter, workers)));
        }
    }

    @Override
    public String toString() {
        return text;
    }
}
