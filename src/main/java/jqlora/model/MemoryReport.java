package jqlora.model;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import jqlora.ops.Weight;
import jqlora.tensor.DType;

/** What a model's weights take, part by part, and what they would take in float32 and bfloat16. */
public record MemoryReport(List<Part> parts) {
    public MemoryReport {
        parts = List.copyOf(parts);
    }

    /**
     * @param name of the part, such as {@code mlp.up_proj} of all layers
     * @param storage such as {@code nf4} or {@code BF16}
     */
    public record Part(String name, String storage, long parameters, long bytes) {
        public double bitsPerParameter() {
            return 8.0 * bytes / parameters;
        }

        public long bytesInFloat32() {
            return 4 * parameters;
        }

        public long bytesInBfloat16() {
            return 2 * parameters;
        }

        private Part plus(Part other) {
            return new Part(name, storage, parameters + other.parameters, bytes + other.bytes);
        }
    }

    /** The report of {@code model}; adapters are not counted. */
    public static MemoryReport of(CausalLm model) {
        Map<String, Part> parts = new LinkedHashMap<>();
        model.embedding().parameters().forEach(table -> add(parts, dense(kind(table.name()), table.value().dtype(), table.value().shape().size())));
        for (DecoderLayer layer : model.layers()) {
            layer.linears().forEach(linear -> addLinear(parts, linear, linear.name().substring(linear.name().lastIndexOf('.') + 1)));
            layer.norms().forEach(norm -> add(parts, dense("norms", norm.value().dtype(), norm.value().shape().size())));
        }
        if (model.norm() != null) {
            model.norm().parameters().forEach(norm -> add(parts, dense("norms", norm.value().dtype(), norm.value().shape().size())));
        }
        for (Linear linear : Stream.of(model.embedding().projectIn(), model.projectOut(), model.spec().tieWordEmbeddings() ? null : model.lmHead()).filter(Objects::nonNull).toList()) {
            addLinear(parts, linear, linear.name());
        }
        return new MemoryReport(new ArrayList<>(parts.values()));
    }

    /** Of {@code model.embed_tokens.weight}: embed_tokens. */
    private static String kind(String parameter) {
        String module = parameter.substring(0, parameter.lastIndexOf('.'));
        return module.substring(module.lastIndexOf('.') + 1);
    }

    private static void addLinear(Map<String, Part> parts, Linear linear, String name) {
        add(parts, switch (linear.weight()) {
            case Weight.FourBit fourBit -> new Part(name, fourBit.format().type().id() + (fourBit.format().doubleQuantization() ? " + double quantization" : ""),
                    fourBit.shape().size(), fourBit.byteSize());
            case Weight.Dense weight -> dense(name, weight.parameter().value().dtype(), weight.shape().size());
        });
        if (linear.bias() != null) {
            add(parts, dense("biases", linear.bias().value().dtype(), linear.bias().value().shape().size()));
        }
    }

    private static Part dense(String name, DType dtype, long parameters) {
        return new Part(name, dtype.name(), parameters, dtype.byteSize(parameters));
    }

    private static void add(Map<String, Part> parts, Part part) {
        parts.merge(part.name() + " " + part.storage(), part, Part::plus);
    }

    /** All parts together, under the name {@code total}. */
    public Part total() {
        long parameters = parts.stream().mapToLong(Part::parameters).sum(), bytes = parts.stream().mapToLong(Part::bytes).sum();
        return new Part("total", "", parameters, bytes);
    }

    /** Such as {@code 134.5 M parameters in 117.3 MB, 6.98 bits each}. */
    @Override
    public String toString() {
        Part total = total();
        return String.format(java.util.Locale.ROOT, "%.1f M parameters in %.1f MB, %.2f bits each", total.parameters() / 1e6, total.bytes() / 1e6, total.bitsPerParameter());
    }
}
