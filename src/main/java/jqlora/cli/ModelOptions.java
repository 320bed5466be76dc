package jqlora.cli;

import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import jqlora.lora.LoraConfig;
import jqlora.lora.TargetModules;
import jqlora.model.LoadOptions;
import jqlora.quant.FourBitFormat;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;
import picocli.CommandLine.Option;

/** Which model is trained, how it is loaded, and the adapter beside it. Names and defaults are qlora.py's (qlora.py:80, 165-185). */
final class ModelOptions {
    static final String MODEL = "--model_name_or_path";

    @Option(names = MODEL, paramLabel = "MODEL",
            description = {"A folder, owner/name or owner/name@revision of the Hub, or jqlora-tiny, the model that",
            "is taken without this option, with settings of its own."})
    private String modelNameOrPath;

    @Option(names = "--bits", paramLabel = "4|16|32", description = "Bits of the weights that are not trained: 4, or 16 (bfloat16), or 32.")
    private int bits = 4;

    @Option(names = "--double_quant", arity = Flag.ARITY, fallbackValue = Flag.ALONE, paramLabel = Flag.LABEL,
            description = {"With 4 bits: the blocks' scales in 8 bits too.", Flag.DEFAULT})
    private boolean doubleQuant = FourBitFormat.defaults().doubleQuantization();

    @Option(names = "--quant_type", paramLabel = "nf4|fp4", description = "With 4 bits: which code.")
    private String quantType = FourBitFormat.defaults().type().id();

    @Option(names = "--lora_r", paramLabel = "R", description = "Rank of the adapter.")
    private int loraR = LoraConfig.defaults().r();

    @Option(names = "--lora_alpha", paramLabel = "ALPHA", description = "The update is scaled by alpha / r.")
    private double loraAlpha = LoraConfig.defaults().loraAlpha();

    @Option(names = "--lora_dropout", paramLabel = "P", description = "Probability of dropping an input of the adapter.")
    private double loraDropout;                                   // qlora.py:185; its scripts for the paper give 0.1

    @Option(names = "--lora_modules", paramLabel = "NAME,...",
            description = "Layers that get an adapter, such as q_proj,v_proj; all for every linear one.")
    private String loraModules = "all";

    /** The model's name as it was given, or that of the one that ships with jqlora. */
    String model() {
        if (modelNameOrPath == null) {
            modelNameOrPath = TrainSettings.EMBEDDED;
        }
        if (modelNameOrPath.isBlank()) {
            throw new IllegalArgumentException(MODEL + " is empty, it must be a folder, owner/name of the Hub, or "
                    + TrainSettings.EMBEDDED);
        }
        return modelNameOrPath;
    }

    LoadOptions load() {
        FourBitFormat format = FourBitFormat.defaults().withType(type()).withDoubleQuantization(doubleQuant);
        return switch (bits) {
            case 4 -> LoadOptions.defaults().withQuantization(format);
            case 16 -> LoadOptions.asStored().withDtype(DType.BF16);
            case 32 -> LoadOptions.asStored().withDtype(DType.F32);
            case 8 -> throw new IllegalArgumentException("--bits is 8, it must be 4, 16 or 32: training on int8 weights is not built;"
                    + " 4 takes less memory, and 16 has no rounding to int8");
            default -> throw new IllegalArgumentException("--bits is " + bits + ", it must be 4, 16 or 32");
        };
    }

    private FourBitType type() {
        return Stream.of(FourBitType.values()).filter(each -> each.id().equals(quantType.toLowerCase(Locale.ROOT))).findFirst()
                .orElseThrow(() -> new IllegalArgumentException("--quant_type is \"" + quantType + "\", it must be nf4 or fp4"));
    }

    LoraConfig lora() {
        LoraConfig lora = Refused.orTaken("--lora_r", loraR, LoraConfig.defaults()::withR);
        lora = Refused.orTaken("--lora_alpha", loraAlpha, lora::withLoraAlpha);
        LoraConfig scaled = lora;
        lora = Refused.orTaken("--lora_dropout", loraDropout, dropout -> scaled.withLoraDropout(dropout.floatValue()));
        return lora.withTargetModules(targets());
    }

    private TargetModules targets() {
        if (List.of("all", "all-linear").contains(loraModules)) {
            return new TargetModules.AllLinear();
        }
        List<String> names = Stream.of(loraModules.split(",", -1)).map(String::strip).toList();
        if (names.stream().anyMatch(String::isEmpty)) {
            throw new IllegalArgumentException("--lora_modules is \"" + loraModules
                    + "\", it must be all, or names with a comma between, such as q_proj,v_proj");
        }
        return new TargetModules.Names(names);
    }
}
