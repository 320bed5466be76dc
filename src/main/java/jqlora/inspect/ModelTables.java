package jqlora.inspect;

import java.util.stream.Stream;
import jqlora.evaluate.AnswerComparison;
import jqlora.evaluate.MergeReport;
import jqlora.lora.TargetTable;
import jqlora.model.MemoryReport;
import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.api.IntColumn;
import tech.tablesaw.api.LongColumn;
import tech.tablesaw.api.StringColumn;
import tech.tablesaw.api.Table;

/** Reports of the rooms above as tables. */
public final class ModelTables {
    private static final double MEGABYTE = 1e6;

    private ModelTables() { }

    /** Part by part: storage, parameters, megabytes, bits per parameter, and megabytes in bfloat16 and float32. */
    public static Table memory(MemoryReport report) {
        StringColumn parts = StringColumn.create("part"), storage = StringColumn.create("stored as");
        LongColumn parameters = LongColumn.create("parameters");
        DoubleColumn megabytes = DoubleColumn.create("MB"), bits = DoubleColumn.create("bits per parameter"), half = DoubleColumn.create("MB in bfloat16"),
                full = DoubleColumn.create("MB in float32");
        Stream.concat(report.parts().stream(), Stream.of(report.total())).forEach(part -> {
            parts.append(part.name());
            storage.append(part.storage());
            parameters.append(part.parameters());
            megabytes.append(part.bytes() / MEGABYTE);
            bits.append(part.bitsPerParameter());
            half.append(part.bytesInBfloat16() / MEGABYTE);
            full.append(part.bytesInFloat32() / MEGABYTE);
        });
        return Table.create("Memory of the weights", parts, storage, parameters, megabytes, bits, half, full);
    }

    /** Pattern by pattern: how many modules it matches, the first of them, parameters. */
    public static Table targets(TargetTable targets) {
        StringColumn patterns = StringColumn.create("target"), first = StringColumn.create("such as");
        IntColumn modules = IntColumn.create("modules");
        LongColumn parameters = LongColumn.create("trained parameters");
        for (TargetTable.Row row : targets.rows()) {
            patterns.append(row.pattern());
            modules.append(row.modules().size());
            first.append(row.modules().isEmpty() ? "" : row.modules().getFirst());
            parameters.append(row.parameters());
        }
        return Table.create("What is trained", patterns, modules, first, parameters);
    }

    /** Route by route: held-out loss, perplexity, share of the gain kept, megabytes. */
    public static Table merges(MergeReport report) {
        StringColumn routes = StringColumn.create("weights");
        DoubleColumn loss = DoubleColumn.create("held-out loss"), kept = Shares.column("gain kept", 1), megabytes = DoubleColumn.create("MB");
        routes.append("base, no adapter").append("base + adapter");
        loss.append(report.baseLoss()).append(report.tunedLoss());
        kept.append(0).append(1);
        megabytes.appendMissing().append(report.tunedBytes() / MEGABYTE);
        for (MergeReport.Row row : report.rows()) {
            routes.append(row.route().name());
            loss.append(row.loss());
            kept.append(row.kept());
            megabytes.append(row.bytes() / MEGABYTE);
        }
        return Table.create("What each merge keeps", routes, loss, kept, megabytes);
    }

    /** Question by question: the answer before and after. */
    public static Table answers(AnswerComparison comparison) {
        StringColumn questions = StringColumn.create("question"), before = StringColumn.create("before"), after = StringColumn.create("after"),
                wanted = StringColumn.create("data set");
        for (AnswerComparison.Row row : comparison.rows()) {
            questions.append(row.question());
            before.append(row.before());
            after.append(row.after());
            wanted.append(row.wanted());
        }
        return Table.create("Answers", questions, before, after, wanted);
    }
}
