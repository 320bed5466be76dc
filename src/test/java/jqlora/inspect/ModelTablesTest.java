package jqlora.inspect;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import jqlora.Oracle;
import jqlora.evaluate.AnswerComparison;
import jqlora.evaluate.MergeReport;
import jqlora.lora.LoraConfig;
import jqlora.lora.MergeRoute;
import jqlora.lora.TargetLimits;
import jqlora.lora.TargetModules;
import jqlora.lora.TargetTable;
import jqlora.model.CausalLm;
import jqlora.model.LoadListener;
import jqlora.model.LoadOptions;
import jqlora.model.MemoryReport;
import jqlora.model.ModelLoader;
import jqlora.ops.cpu.CpuOps;
import org.junit.jupiter.api.Test;
import tech.tablesaw.api.Table;

class ModelTablesTest {
    private static List<String> rows(Table table) {
        return table.stream().map(row -> String.join(" | ", row.columnNames().stream().map(name -> row.isMissing(name) ? "-" : String.valueOf(row.getObject(name))).toList())).toList();
    }

    @Test
    void memoryInMegabytesPartByPartAndInAll() {
        MemoryReport report = new MemoryReport(List.of(new MemoryReport.Part("mlp", "nf4", 4_000_000, 2_000_000), new MemoryReport.Part("norms", "F32", 1_000_000, 4_000_000)));
        Table table = ModelTables.memory(report);
        assertEquals(List.of("part", "stored as", "parameters", "MB", "bits per parameter", "MB in bfloat16", "MB in float32"), table.columnNames());
        assertEquals(List.of("mlp | nf4 | 4000000 | 2.0 | 4.0 | 8.0 | 16.0", "norms | F32 | 1000000 | 4.0 | 32.0 | 2.0 | 4.0", "total | - | 5000000 | 6.0 | 9.6 | 10.0 | 20.0"), rows(table));
    }

    /** Counted by hand: llama's two layers have [64, 64] q and o, [32, 64] k and v, three [112, 64] in the MLP; 199 x 64 embedding and head; five norms of 64. */
    @Test
    void theReportCountsEveryBytesOnce() throws Exception {
        try (CpuOps ops = CpuOps.create(); CausalLm model = ModelLoader.load(Oracle.path("families/llama"), LoadOptions.defaults(), ops, LoadListener.SILENT)) {
            MemoryReport.Part total = MemoryReport.of(model).total();
            long linear = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 112 * 64), dense = 2 * 199 * 64 + 5 * 64;
            assertEquals(linear + dense, total.parameters());
            // NF4 with double quantization: half a byte a weight, a byte for each 64, four bytes for each 256 of those, of each matrix on its own
            long fourBit = linear / 2 + linear / 64 + 4 * 14;
            assertEquals(fourBit + 4 * dense, total.bytes());
            assertTrue(MemoryReport.of(model).parts().contains(new MemoryReport.Part("down_proj", "nf4 + double quantization", 2 * 112 * 64, 2 * (112 * 64 / 2 + 112 + 4))), MemoryReport.of(model).parts()::toString);
        }
    }

    @Test
    void targetsPatternByPattern() throws Exception {
        LoraConfig lora = LoraConfig.defaults().withR(2).withTargetModules("v_proj", "o_proj");
        try (CpuOps ops = CpuOps.create(); CausalLm model = ModelLoader.load(Oracle.path("families/llama"), LoadOptions.asStored(), ops, LoadListener.SILENT)) {
            Table table = ModelTables.targets(TargetTable.of(model, lora));
            assertEquals(List.of("target", "modules", "such as", "trained parameters"), table.columnNames());
            assertEquals(List.of("v_proj | 2 | model.layers.0.self_attn.v_proj | 384", "o_proj | 2 | model.layers.0.self_attn.o_proj | 512"), rows(table));
            LoraConfig excluded = lora.withLimits(TargetLimits.none().withExcludeModules(TargetModules.names("o_proj")));
            assertEquals("o_proj | 0 | - | 0", rows(ModelTables.targets(TargetTable.of(model, excluded))).get(1), "all taken out again");
        }
    }

    @Test
    void mergesRouteByRouteAfterBaseAndAdapter() {
        Table table = ModelTables.merges(new MergeReport(3, 1, 2_500_000, List.of(new MergeReport.Row(MergeRoute.PEFT_4BIT, 2.75, 0.125, 2_000_000))));
        assertEquals(List.of("weights", "held-out loss", "gain kept", "MB"), table.columnNames());
        assertEquals(List.of("base, no adapter | 3.0 | 0.0 | -", "base + adapter | 1.0 | 1.0 | 2.5", "PEFT_4BIT | 2.75 | 0.125 | 2.0"), rows(table));
    }

    @Test
    void answersQuestionByQuestion() {
        Table table = ModelTables.answers(new AnswerComparison(List.of(new AnswerComparison.Row("什么动物?", "猫", "dog", "cat"))));
        assertEquals(List.of("question", "before", "after", "data set"), table.columnNames());
        assertEquals(List.of("什么动物? | dog | cat | 猫"), rows(table));
    }
}
