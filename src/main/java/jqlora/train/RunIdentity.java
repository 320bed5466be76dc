package jqlora.train;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.data.TokenizedRow;
import jqlora.format.JsonFileException;
import jqlora.model.CausalLm;
import jqlora.model.DecoderSpec;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;

/**
 * All that settles what a run computes and reports: two runs of the same identity give the same bits. How activations are kept, where
 * moments lie, how many threads compute, when checkpoints are written and who listens is not part of it: none of these changes a bit.
 *
 * @param values each thing by its name, in an order for reading
 */
record RunIdentity(Map<String, String> values) {
    private static final String START = "start", ROWS = "rows", HELD_OUT = "held_out";

    RunIdentity {
        values = new LinkedHashMap<>(values);
    }

    /**
     * @param weights as they are now, before the first step
     * @param rows that are trained on
     */
    static RunIdentity of(TrainedWeights weights, List<TokenizedRow> rows, List<TokenizedRow> heldOut, SftConfig config) {
        CausalLm model = weights.model();
        DecoderSpec spec = model.spec();
        Map<String, String> values = new LinkedHashMap<>();
        values.put("max_steps", Integer.toString(config.totalSteps(rows.size())));
        values.put("batches", config.batches().toString());
        values.put("learning_rate", config.learningRate().toString());
        values.put("optimizer", config.optimizer().withOptim(config.optimizer().optim().unpaged()).toString());
        values.put("eval_steps", Integer.toString(config.checkpoints().evalSteps()));
        values.put("seed", Long.toString(config.seed()));
        values.put("model", spec + storage(model));
        values.put("attention", spec.attention().toString());
        values.put("layers", spec.mlp() + ", " + spec.norm() + ", " + spec.embedding());
        values.put("base", weights.base());
        values.put("trained", weights.description());
        values.put(START, weights.fingerprint());
        values.put("arithmetic", model.ops().arithmetic());
        values.put(ROWS, hash(rows));
        values.put(HELD_OUT, hash(heldOut));
        return new RunIdentity(values);
    }

    /** How the linear layers are stored: an adapter on NF4 learns other numbers than one on FP4. */
    private static String storage(CausalLm model) {
        List<String> storages = model.linears().values().stream().map(linear -> switch (linear.weight()) {
            case Weight.FourBit fourBit -> fourBit.format() + ", decoded to " + fourBit.format().dtype();
            case Weight.Dense(Parameter parameter) -> parameter.value().dtype().name();
        }).distinct().toList();
        return storages.equals(List.of("F32")) ? "" : " in " + String.join(" and ", storages);
    }

    private static String hash(List<TokenizedRow> rows) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (TokenizedRow row : rows) {
                digest.update((Arrays.toString(row.ids()) + Arrays.toString(row.labels())).getBytes(StandardCharsets.US_ASCII));
            }
            return rows.size() + " rows, sha256 " + HexFormat.of().formatHex(digest.digest(), 0, 8);
        } catch (NoSuchAlgorithmException absent) {
            throw new AssertionError("every Java has SHA-256", absent);
        }
    }

    /** This of weights that a run began from {@code start} with. */
    private RunIdentity withStart(String start) {
        Map<String, String> changed = new LinkedHashMap<>(values);
        changed.put(START, start);
        return new RunIdentity(changed);
    }

    /**
     * The identity of the run that wrote {@code state}, if this is it: a run is gone on with from where it began, or from the very weights
     * that the checkpoint has, as when a cell is run again with the adapter that it trained.
     *
     * @param folder of the checkpoint, for the message
     * @throws JsonFileException if something differs, or the checkpoint does not say; the message has everything that differs, and what
     *        would do
     */
    RunIdentity requireSame(Path folder, TrainerState state) throws JsonFileException {
        Map<String, String> saved = state.run();
        boolean goesOn = state.weights().equals(values.get(START)) && saved.containsKey(START);
        RunIdentity present = goesOn ? withStart(saved.get(START)) : this;
        List<String> missing = new ArrayList<>(), differing = new ArrayList<>();
        present.values.forEach((name, now) -> {
            if (!saved.containsKey(name)) {
                missing.add(name);
            } else if (!now.equals(saved.get(name))) {
                differing.add(name + " was " + saved.get(name) + ", now it is " + now + meaning(name));
            }
        });
        String ways = "; take another output folder, or let it begin again in this one with overwrite (SftConfig.withOverwrite(true), or --overwrite),"
                + " which removes the checkpoints there";
        if (!differing.isEmpty()) {
            throw new JsonFileException(folder.toString(), "is a checkpoint of another run: " + String.join("; ", differing) + ways
                    + "; with the same settings and data it goes on");
        }
        if (!missing.isEmpty()) {
            throw new JsonFileException(folder.toString(), "does not say of which run it is: it was written by an earlier version of"
                    + " jqlora, without " + String.join(", ", missing) + ways);
        }
        return present;
    }

    /** What is meant by a value that says nothing to a reader. */
    private static String meaning(String name) {
        return switch (name) {
            case "base" -> " (another base model, or one with other adapters merged into it)";
            case START -> " (the weights that training begins from; they are neither those that the run began from nor those of this"
                    + " checkpoint)";
            case ROWS, HELD_OUT -> " (other rows, or the same through another tokenizer, template or length limits)";
            default -> "";
        };
    }
}
