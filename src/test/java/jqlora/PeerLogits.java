package jqlora;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jqlora.format.SafetensorsFile;
import jqlora.model.CausalLm;
import jqlora.ops.Sequences;
import jqlora.tensor.Tensor;

/** Folders that we wrote, and their logits by transformers and PEFT beside ours: all of a test class in one Python process. */
public final class PeerLogits {
    private final Path temp;
    private final List<int[]> ids;
    private final List<Job> jobs = new ArrayList<>();

    private record Job(String name, Path folder, Path adapter, float[][] ours) { }

    /**
     * What the Python stack found.
     *
     * @param ours logits of each list of ids, [length * vocab]
     * @param theirs the same
     * @param linears4bit layers that bitsandbytes computes
     * @param adapted modules with an adapter, of which PEFT missed and left over no tensor
     */
    public record Found(String name, float[][] ours, float[][] theirs, int linears4bit, int adapted) {
        /** Fails unless the logits are the same but for float32 noise of two orders of summation. */
        public void assertSameLogits(double rtol, double atol) {
            for (int i = 0; i < ours.length; i++) {
                Assert.assertClose(name + ", logits of list " + i, ours[i], theirs[i], rtol, atol);
            }
        }
    }

    /** @param temp for files
     * @param ids lists of token ids, each a sequence of its own */
    public PeerLogits(Path temp, List<int[]> ids) {
        this.temp = temp;
        this.ids = ids;
    }

    /** Asks for the logits of {@code folder}, under {@code adapter} or null; {@code model} has ours, as it is now. */
    public void add(String name, Path folder, Path adapter, CausalLm model) {
        float[][] ours = new float[ids.size()][];
        for (int i = 0; i < ours.length; i++) {
            try (Tensor logits = model.logits(ids.get(i), Sequences.ofLengths(ids.get(i).length))) {
                ours[i] = model.ops().download(logits).toFloats();
            }
        }
        jobs.add(new Job(name, folder, adapter, ours));
    }

    /** Starts Python once; the answers in the order of the questions. */
    public List<Found> run() throws IOException, InterruptedException {
        List<Map<String, Object>> requests = new ArrayList<>();
        for (int i = 0; i < jobs.size(); i++) {
            Map<String, Object> request = new LinkedHashMap<>();
            request.put("folder", jobs.get(i).folder.toAbsolutePath().toString());
            request.put("adapter", jobs.get(i).adapter == null ? null : jobs.get(i).adapter.toAbsolutePath().toString());
            request.put("out", out(i).toAbsolutePath().toString());
            requests.add(request);
        }
        Path file = temp.resolve("request.json");
        Files.writeString(file, new Gson().newBuilder().serializeNulls().create().toJson(Map.of("ids", ids, "jobs", requests)));
        List<String> printed = Peers.run("peers/logits.py", file).lines().filter(line -> line.startsWith("{")).toList();      // bitsandbytes may tell of kernels it would rather have
        assertEquals(jobs.size(), printed.size(), () -> "lines printed: " + printed);
        List<Found> found = new ArrayList<>();
        for (int i = 0; i < jobs.size(); i++) {
            JsonObject report = JsonParser.parseString(printed.get(i)).getAsJsonObject();
            int adapted = report.get("adapted").getAsInt();
            assertEquals(2 * adapted, report.get("tensors").getAsInt(), jobs.get(i).name + ": tensors, one A and one B a module");
            found.add(new Found(jobs.get(i).name, jobs.get(i).ours, theirs(out(i)), report.get("linears_4bit").getAsInt(), adapted));
        }
        return found;
    }

    private Path out(int job) {
        return temp.resolve("logits-" + job + ".safetensors");
    }

    private float[][] theirs(Path file) throws IOException {
        float[][] logits = new float[ids.size()][];
        try (SafetensorsFile written = SafetensorsFile.open(file)) {
            for (int i = 0; i < logits.length; i++) {
                logits[i] = written.get(Integer.toString(i)).toFloats();
            }
        }
        return logits;
    }
}
