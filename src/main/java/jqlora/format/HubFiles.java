package jqlora.format;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** Which files of a repository a model or an adapter needs: those of its top folder, without pickles, other formats and pictures. */
final class HubFiles {
    private static final Set<String> SMALL = Set.of("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
            "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model",
            "chat_template.jinja", "chat_template.json", "adapter_config.json", Checkpoint.INDEX);
    private HubFiles() { }

    /**
     * The files to download first, small ones in front; the shards that an index names are {@link #missing} afterwards.
     *
     * @throws HubException if there are no weights in safetensors
     */
    static List<String> needed(HubRepository repository, List<String> files) throws HubException {
        List<String> needed = new ArrayList<>(files.stream().filter(SMALL::contains).sorted().toList());
        List<String> weights = Stream.of(Checkpoint.SINGLE, PeftAdapterFiles.WEIGHTS).filter(files::contains).toList();
        if (weights.isEmpty() && !files.contains(Checkpoint.INDEX)) {
            boolean pickled = files.stream().anyMatch(file -> file.matches("[^/]*\\.(bin|pt|pth)"));
            throw new HubException(repository, pickled
                    ? "has its weights only as Python pickles (pytorch_model.bin), which can run code when they are read; convert it to "
                            + Checkpoint.SINGLE + " first, or take a revision that has it"
                    : "has neither " + Checkpoint.SINGLE + " nor " + Checkpoint.INDEX + ", a model must have one of them");
        }
        needed.addAll(weights);
        return needed;
    }

    /** What a model's or adapter's folder lacks to be whole, as far as its own files tell; empty if nothing. */
    static Set<String> missing(Path folder) throws IOException {
        Set<String> needed = new LinkedHashSet<>();
        if (Files.exists(folder.resolve(PeftAdapterFiles.CONFIG))) {
            needed.add(PeftAdapterFiles.WEIGHTS);
        } else {
            needed.add(HfConfig.FILE);
            if (Files.exists(folder.resolve(Checkpoint.SINGLE)) || !Files.exists(folder.resolve(Checkpoint.INDEX))) {
                needed.add(Checkpoint.SINGLE);
            } else {
                needed.addAll(JsonView.read(folder.resolve(Checkpoint.INDEX)).object("weight_map").toTexts().values());
            }
        }
        needed.removeIf(file -> HubRepository.isConfined(file) && Files.exists(folder.resolve(file)));
        return needed;
    }
}
