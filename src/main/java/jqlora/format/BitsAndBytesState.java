package jqlora.format;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.quant.Absmax;
import jqlora.quant.DynamicMap;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.TensorView;

/**
 * A 4-bit weight as bitsandbytes keeps it in a checkpoint. Under the weight's name {@code W}:
 * <ul>
 * <li>{@code W} U8 [(n + 1) / 2, 1], the codes
 * <li>{@code W.absmax} F32 [blocks], or U8 under double quantization
 * <li>{@code W.quant_map} F32 [16]
 * <li>under double quantization {@code W.nested_absmax} F32 [blocks / 256, rounded up] and {@code W.nested_quant_map} F32 [256]
 * <li>{@code W.quant_state.bitsandbytes__nf4} (or {@code __fp4}) U8, JSON text with block size, original dtype and shape
 * </ul>
 *
 * @see <a href="https://github.com/bitsandbytes-foundation/bitsandbytes/blob/95f9af30/bitsandbytes/functional.py">bitsandbytes functional.py:423-578, QuantState</a>
 */
public final class BitsAndBytesState {
    private static final String ABSMAX = ".absmax", MAP = ".quant_map", NESTED_ABSMAX = ".nested_absmax", NESTED_MAP = ".nested_quant_map",
            STATE = ".quant_state.bitsandbytes__";

    private BitsAndBytesState() { }

    /** The names of a model's parameters: those of {@code tensors} without the parts of 4-bit weights other than their codes. */
    public static List<String> parameters(NamedTensors tensors) {
        return tensors.names().stream().filter(name -> owners(name).stream().noneMatch(owner -> isFourBit(tensors, owner))).toList();
    }

    /** The weights that {@code name} may be a part of. */
    private static List<String> owners(String name) {
        List<String> owners = new ArrayList<>();
        for (String part : List.of(ABSMAX, MAP, NESTED_ABSMAX, NESTED_MAP, STATE + "nf4", STATE + "fp4")) {
            if (name.endsWith(part)) {
                owners.add(name.substring(0, name.length() - part.length()));
            }
        }
        return owners;
    }

    /** Whether any weight of {@code tensors} is in 4 bits. */
    public static boolean hasFourBit(NamedTensors tensors) {
        return tensors.names().stream().anyMatch(name -> name.endsWith(STATE + "nf4") || name.endsWith(STATE + "fp4"));
    }

    /** Whether {@code weight} is in 4 bits. */
    public static boolean isFourBit(NamedTensors tensors, String weight) {
        return tensors.contains(weight + STATE + "nf4") || tensors.contains(weight + STATE + "fp4");
    }

    /**
     * Reads the 4-bit weight {@code weight}, without a copy of its codes and absmax values: they are valid until {@code tensors} is
     * closed.
     *
     * @throws SafetensorsException if a part is missing or not as it must be, or the weight is in 8 bits or not quantized
     * @throws JsonFileException if the JSON text is not as it must be
     */
    public static QuantizedTensor read(NamedTensors tensors, String weight) throws SafetensorsException, JsonFileException {
        refuseOthers(tensors, weight);
        FourBitType type = tensors.contains(weight + STATE + "nf4") ? FourBitType.NF4 : FourBitType.FP4;
        String stateName = weight + STATE + type.id();
        String json = new String(tensors.get(stateName).data().toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
        JsonView state = JsonView.parse(tensors.path() + ": tensor " + Quoted.of(stateName), json);
        if (!state.text("quant_type").equals(type.id())) {
            throw state.fault("quant_type", "\"" + type.id() + "\", as its tensor's name says");
        }
        checkMap(tensors, weight + MAP, type);
        boolean nested = tensors.contains(weight + NESTED_ABSMAX);
        try {
            FourBitFormat format = new FourBitFormat(type, state.positive("blocksize"), nested, HfConfig.dtype(state, "dtype"));
            Shape shape = Shape.of(state.wholes("shape"));
            Absmax absmax = nested ? nested(tensors, weight, state) : new Absmax.Plain(part(tensors, weight + ABSMAX, DType.F32));
            return new QuantizedTensor(format, shape, tensors.get(weight).data(), absmax);
        } catch (IllegalArgumentException wrong) {
            throw new SafetensorsException(tensors.path(), weight, wrong.getMessage());
        }
    }

    private static void refuseOthers(NamedTensors tensors, String weight) throws SafetensorsException {
        if (isFourBit(tensors, weight)) {
            return;
        }
        TensorView view = tensors.get(weight);
        boolean eightBit = weight.endsWith(".weight") && tensors.contains(weight.substring(0, weight.length() - "weight".length()) + "SCB");
        throw new SafetensorsException(tensors.path(), weight, eightBit
                ? "is in LLM.int8's 8 bits (" + view + ", with SCB), which are not read yet; load the 16-bit or the 4-bit model"
                : "is " + view + " without " + STATE.substring(1) + "nf4 or fp4, it must be in bitsandbytes' 4 bits");
    }

    private static void checkMap(NamedTensors tensors, String name, FourBitType type) throws SafetensorsException {
        float[] expected = type.storedMap();
        MemorySegment map = part(tensors, name, DType.F32);
        boolean same = map.byteSize() == 4L * expected.length;
        for (int i = 0; same && i < expected.length; i++) {
            same = map.getAtIndex(TensorView.FLOAT, i) == expected[i];
        }
        if (!same) {
            throw new SafetensorsException(tensors.path(), name, "does not hold the 16 values of " + type.id() + ", it must");
        }
    }

    private static Absmax nested(NamedTensors tensors, String weight, JsonView state) throws SafetensorsException, JsonFileException {
        if (state.positive("nested_blocksize") != FourBitFormat.NESTED_BLOCK_SIZE) {
            throw state.fault("nested_blocksize", String.valueOf(FourBitFormat.NESTED_BLOCK_SIZE));
        }
        if (!state.text("nested_dtype").equals("float32")) {
            throw state.fault("nested_dtype", "\"float32\"");
        }
        float[] map = new TensorView(DType.F32, Shape.of(256), part(tensors, weight + NESTED_MAP, DType.F32)).toFloats();
        return new Absmax.Nested(part(tensors, weight + ABSMAX, DType.U8), part(tensors, weight + NESTED_ABSMAX, DType.F32),
                (float) state.number("nested_offset"), DynamicMap.of(map));
    }

    private static MemorySegment part(NamedTensors tensors, String name, DType dtype) throws SafetensorsException {
        TensorView view = tensors.get(name);
        if (view.dtype() != dtype) {
            throw new SafetensorsException(tensors.path(), name, "is " + view + ", it must be " + dtype);
        }
        return view.data();
    }

    /**
     * The bytes of a weight's tensors, asked for when their turn comes.
     *
     * @param codes U8 [elements / 2, rounded up]
     * @param absmax F32 [blocks], or U8 [blocks] under double quantization
     * @param nestedAbsmax F32 [blocks / 256, rounded up]; null without double quantization
     * @param offset what double quantization took off the absmax values
     * @param map the 256 values of its 8-bit code
     */
    public record Parts(TensorSource.Content codes, TensorSource.Content absmax, TensorSource.Content nestedAbsmax, float offset, DynamicMap map) { }

    /** The tensors that a checkpoint holds for a weight under the name {@code weight}, in bitsandbytes' order. */
    public static List<TensorSource> sources(String weight, FourBitFormat format, Shape shape, Parts parts) {
        long blocks = format.blocks(shape.size());
        List<TensorSource> sources = new ArrayList<>();
        sources.add(new TensorSource(weight, DType.U8, Shape.of(Math.ceilDiv(shape.size(), 2L), 1), parts.codes));
        sources.add(new TensorSource(weight + ABSMAX, format.doubleQuantization() ? DType.U8 : DType.F32, Shape.of(blocks), parts.absmax));
        sources.add(floats(weight + MAP, format.type().storedMap()));
        Map<String, Object> state = new LinkedHashMap<>();
        state.put("quant_type", format.type().id());
        state.put("blocksize", format.blockSize());
        state.put("dtype", format.dtype().torchName());
        state.put("shape", Arrays.stream(shape.toArray()).boxed().toList());
        if (format.doubleQuantization()) {
            sources.add(new TensorSource(weight + NESTED_ABSMAX, DType.F32, Shape.of(format.nestedBlocks(shape.size())), parts.nestedAbsmax));
            sources.add(floats(weight + NESTED_MAP, parts.map.values()));
            state.put("nested_blocksize", FourBitFormat.NESTED_BLOCK_SIZE);
            state.put("nested_dtype", "float32");
            state.put("nested_offset", parts.offset);
        }
        byte[] json = PythonJson.defaults().dumps(state).getBytes(StandardCharsets.UTF_8);
        sources.add(TensorSource.of(weight + STATE + format.type().id(), new TensorView(DType.U8, Shape.of(json.length), MemorySegment.ofArray(json))));
        return sources;
    }

    private static TensorSource floats(String name, float[] values) {
        return TensorSource.of(name, TensorView.ofFloats(values, values.length));
    }
}
