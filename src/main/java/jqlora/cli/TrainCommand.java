package jqlora.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import jqlora.device.Device;
import jqlora.train.SftConfig;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Trains an adapter from the command line, under the names of qlora.py. */
@Command(name = "train", sortOptions = false, showDefaultValues = true, preprocessor = GivenOptions.class, usageHelpWidth = 120,
        synopsisHeading = "usage: ", customSynopsis = "./jqlora train [OPTION VALUE ...]",
        description = {"%nTrains a LoRA adapter on a model in 4 bits and writes a folder that PEFT reads. The same command again goes on",
                "where it was stopped. Names and defaults are qlora.py's. Without a model the one that ships with jqlora is trained, with",
                "settings that suit it (src/main/resources/jqlora/cli/embedded.yaml); what is given goes before them.%n"})
final class TrainCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Option(names = "--config", paramLabel = "FILE",
            description = "These options in a YAML or JSON file, lora_r: 16 a line; the command line goes before it.")
    private Path config;

    @ArgGroup(validate = false, heading = "%nModel%n", order = 1)
    private ModelOptions model = new ModelOptions();

    @ArgGroup(validate = false, heading = "%nData%n", order = 2)
    private DataOptions data = new DataOptions();

    @ArgGroup(validate = false, heading = "%nTraining%n", order = 3)
    private TrainingOptions training = new TrainingOptions();

    @ArgGroup(validate = false, heading = "%nGeneration%n", order = 4)
    private GenerationOptions generation = new GenerationOptions();

    @Option(names = "--device", paramLabel = "DEVICE", description = "auto, cpu, cuda or cuda:N.")
    private String device = Device.auto().toString();

    @Mixin
    private ProcessorThreads processor = new ProcessorThreads();

    @Mixin
    private CudaFolders cuda = new CudaFolders();

    @Option(names = {"-h", "--help"}, usageHelp = true, description = "Shows this.")
    private boolean help;

    private Map<String, GivenOptions.Given> given = Map.of();
    private boolean embedded;

    /**
     * What was given, and where.
     *
     * @param withEmbedded whether settings of the model that ships with jqlora are among it
     */
    void given(Map<String, GivenOptions.Given> options, boolean withEmbedded) {
        given = options;
        embedded = withEmbedded;
    }

    /** @throws IllegalArgumentException if a value cannot be; the message says where it stands and what it must be */
    TrainSettings settings() {
        try {
            SftConfig sft = training.sft();
            return new TrainSettings(model.model(), model.load(), model.lora(), data.settings(), sft, training.run(),
                    generation.settings(training.seed()),
                    new TrainSettings.Machine(Device.parse("--device", device), processor.options(), cuda.nvidia()));
        } catch (IllegalArgumentException refused) {
            throw new IllegalArgumentException(placed(String.valueOf(refused.getMessage())), refused);
        }
    }

    /** {@code message}, which begins with an option, beginning with the place in a file where that stands. */
    private String placed(String message) {
        String option = message.split("[ :;,]", 2)[0];
        GivenOptions.Given found = given.get(option.replaceFirst("^--", ""));
        return found == null || found.where().startsWith("--") ? message : found.where() + message.substring(option.length());
    }

    /**
     * Every option that has a value by its name, as it stands in a file for {@code --config}; but for those that say how this one call
     * goes.
     */
    Map<String, Object> values() {
        Map<String, Object> values = new LinkedHashMap<>();
        for (OptionSpec option : spec.options()) {
            String name = option.longestName().substring("--".length());
            Object value = option.getValue();
            // a run that was begun anew is not to be begun anew each time that its file is given
            if (value != null && !name.matches("help|config|overwrite_output_dir|cuda-libraries|kernel-cache")) {
                values.put(name, value instanceof Number || value instanceof Boolean ? value : value.toString());
            }
        }
        return values;
    }

    @Override
    public Integer call() throws IOException {
        TrainSettings settings = settings();
        String notice = embedded ? "no model is named: it is " + TrainSettings.EMBEDDED + ", with the settings that suit it" : "";
        return new TrainRun(settings, values(), notice, StatusLine.ofProcess()).run();
    }
}
