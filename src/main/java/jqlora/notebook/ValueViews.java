package jqlora.notebook;

import java.util.Arrays;
import java.util.List;
import jqlora.data.InstructionRow;
import jqlora.data.InstructionSet;
import jqlora.data.TokenizedSet;
import jqlora.evaluate.AnswerComparison;
import jqlora.evaluate.MergeReport;
import jqlora.experiment.ExperimentResult;
import jqlora.experiment.GridResult;
import jqlora.experiment.TargetPlan;
import jqlora.inspect.AdapterComparison;
import jqlora.inspect.AdapterGradients;
import jqlora.inspect.CheckpointDiff;
import jqlora.inspect.CodeFlips;
import jqlora.inspect.LoraParts;
import jqlora.inspect.MergeDiff;
import jqlora.inspect.ModelTables;
import jqlora.inspect.QuantizationErrors;
import jqlora.inspect.Spectrum;
import jqlora.inspect.TokenLengths;
import jqlora.inspect.TrainingChart;
import jqlora.inspect.UpdateSizes;
import jqlora.inspect.WeightDiff;
import jqlora.lora.LoraAdapter;
import jqlora.lora.TargetTable;
import jqlora.model.CausalLm;
import jqlora.model.MemoryPlan;
import jqlora.model.MemoryReport;
import jqlora.ops.MemoryUse;
import jqlora.ops.Ops;
import jqlora.tensor.TensorView;
import jqlora.train.HeldOutLoss;
import jqlora.train.TrainEvent;
import jqlora.train.TrainResult;
import jqlora.train.TrainingPlan;

/** How a notebook shows what the library returns: one form for each type. */
final class ValueViews {
    private static final int FIRST_ROWS = 5;
    private static final String OURS = "jqlora.";

    private ValueViews() { }

    /** The form of {@code value}, in at most {@code rows} rows where it is a table; null where its text says it all. */
    static Displayable of(Object value, int rows) {
        return switch (value) {
            case OpenModel open -> open.isOpen() ? ModelTree.of(open.name(), open.model()) : null;
            case CausalLm model -> model.isClosed() ? null : ModelTree.of(model.toString(), model);
            case LoraAdapter adapter -> ModelTree.of("adapter " + adapter.config() + (adapter.isAttached() ? ", in force" : ", not in force"), adapter);
            case Ops ops -> ops(ops);
            case Machine machine -> machine.view();
            case LoraParts parts -> parts(parts);
            case AdapterGradients gradients -> ListView.of(gradients.rows(), rows);
            case TensorView tensor -> ArrayView.of(tensor);
            case InstructionSet set -> set(set);
            case TokenizedSet set -> tokens(set);
            case TokenLengths lengths -> lengths(lengths);
            case TargetTable targets -> targets(targets, rows);
            case TargetPlan plan -> plan(plan);
            case HeldOutLoss loss -> Tables.of("", "held-out loss", "perplexity", "tokens").row(loss.loss(), loss.perplexity(), loss.tokens());
            case MemoryReport report -> new TableView(ModelTables.memory(report), rows);
            case MemoryPlan plan -> memory(plan);
            case MemoryUse use -> memory(use);
            case TrainingPlan plan -> memory(plan);
            case MergeReport report -> new TableView(ModelTables.merges(report), rows);
            case AnswerComparison answers -> new TableView(ModelTables.answers(answers), rows);
            case QuantizationErrors errors -> new TableView(errors.table(), rows);
            case WeightDiff diff -> diff(diff);
            case MergeDiff diff -> new TableView(diff.table(), rows);
            case UpdateSizes sizes -> new TableView(sizes.table(), rows);
            case AdapterComparison comparison -> ListView.of(comparison.rows(), rows);
            case CheckpointDiff diff -> new TableView(diff.table(), rows);
            case CodeFlips flips -> flips(flips);
            case Spectrum spectrum -> spectrum(spectrum, rows);
            case TrainResult result -> run(result);
            case GridResult grid -> new TableView(grid.table(), rows);
            case ExperimentResult result -> new Stack(new TableView(result.table(), rows), new TableView(result.matrix(), rows));
            case Enum<?> constant when isOurs(constant) -> new EnumView(List.of(constant));
            case List<?> list -> ListView.of(list, rows);
            case Object[] array -> ListView.of(Arrays.asList(array), rows);
            case Record record when isOurs(record) && RecordView.isPlain(record) || hasDefaults(value) -> new RecordView((Record) value);
            default -> null;
        };
    }

    private static boolean isOurs(Object value) {
        return value.getClass().getName().startsWith(OURS);
    }

    private static boolean hasDefaults(Object value) {
        return value instanceof Record && isOurs(value) && Arrays.stream(value.getClass().getMethods())
                .anyMatch(method -> method.getName().equals("defaults") && method.getParameterCount() == 0 && method.getReturnType() == value.getClass());
    }

    private static Displayable parts(LoraParts parts) {
        return new Stack(new Line(parts.module() + ": W + " + ShortNumber.of(parts.scaling()) + " B A"),
                new Line("W"), ArrayView.of(parts.weight()), new Line("A"), ArrayView.of(parts.a()), new Line("B"), ArrayView.of(parts.b()),
                new Line(ShortNumber.of(parts.scaling()) + " B A"), ArrayView.of(parts.update()), new Line("W + " + ShortNumber.of(parts.scaling()) + " B A"), ArrayView.of(parts.sum()));
    }

    private static Displayable ops(Ops ops) {
        MemoryUse use = ops.memory();
        String limit = use.limitBytes() == Long.MAX_VALUE ? "" : " of " + ShortNumber.bytes(use.limitBytes());
        return new Line(ops.name() + ": " + ops.description() + ", " + ShortNumber.bytes(use.bytesInUse()) + limit + " in use");
    }

    /** One line, the same everywhere. */
    record Line(String text) implements Displayable {
        @Override
        public String html() {
            return Html.escape(text);
        }
    }

    private static Displayable set(InstructionSet set) {
        HtmlTable rows = ListView.instructions(set.train().subList(0, Math.min(FIRST_ROWS, set.train().size())), FIRST_ROWS);
        return rows.caption(set.name()).note(ShortNumber.grouped(set.train().size()) + " rows to train on, " + ShortNumber.grouped(set.test().size()) + " held out"
                + (set.train().size() > FIRST_ROWS ? "; the first " + FIRST_ROWS + " are shown" : ""));
    }

    private static Displayable tokens(TokenizedSet set) {
        HtmlTable table = new HtmlTable("tokens of the data set", "value");
        table.row("rows", new HtmlTable.RightAligned(ShortNumber.grouped(set.rows().size())));
        table.row("tokens", new HtmlTable.RightAligned(ShortNumber.grouped(set.tokens())));
        table.row("trained on", new HtmlTable.RightAligned(ShortNumber.grouped(set.labelledTokens())));
        if (!set.rows().isEmpty()) {
            TokenLengths lengths = TokenLengths.of(set);
            table.row("shortest, middle, longest row", new HtmlTable.RightAligned(lengths.rows().getFirst() + ", " + lengths.median() + ", " + lengths.longest()));
            table.row("95 of 100 rows are at most", new HtmlTable.RightAligned(ShortNumber.grouped(lengths.quantile(0.95))));
        }
        table.row("prompts cut", new HtmlTable.RightAligned(ShortNumber.grouped(set.promptsCut())));
        table.row("answers cut", new HtmlTable.RightAligned(ShortNumber.grouped(set.answersCut())));
        return table;
    }

    private static Displayable lengths(TokenLengths lengths) {
        HtmlTable table = Tables.of("lengths in tokens", "rows", "tokens", "median", "95 % are at most", "longest", "trained on", "prompts cut", "answers cut").percent("trained on");
        table.row(lengths.rows().size(), lengths.tokens(), lengths.median(), lengths.quantile(0.95), lengths.longest(), lengths.trainedShare(), lengths.promptsCut(), lengths.answersCut());
        return new Stack(table, new Picture(lengths.chart(), "how many rows have which length"));
    }

    private static Displayable targets(TargetTable targets, int rows) {
        TableView table = new TableView(ModelTables.targets(targets), rows);
        return new Stack(table, new Line(ShortNumber.grouped(targets.parameters()) + " parameters are trained"));
    }

    private static Displayable plan(TargetPlan plan) {
        HtmlTable table = new HtmlTable("data set", "target modules", "r", "alpha", "dropout");
        plan.entries().forEach(entry -> table.row(entry.dataSet(), entry.lora().targetModules().text(), entry.lora().r(), entry.lora().loraAlpha(), entry.lora().loraDropout()));
        return table;
    }

    private static Displayable memory(MemoryPlan plan) {
        HtmlTable table = new HtmlTable("memory of a step", "bytes").caption("a micro-batch of " + plan.sequences());
        table.row("stays: weights, adapters, gradients, moments", right(plan.standingBytes())).row("most in tensors at once", right(plan.peakBytes()));
        table.row("most taken, buffers included", right(plan.takenBytes()));
        if (plan.hostBytes() > 0) {
            table.row("of the host's memory", right(plan.hostBytes()));
        }
        long limit = plan.use().limitBytes();
        return table.row("limit", limit == Long.MAX_VALUE ? new HtmlTable.RightAligned("the system's") : right(limit))
                .note((plan.fits() ? "It fits; " : "It does not fit; ") + plan.activations());
    }

    private static Displayable memory(TrainingPlan plan) {
        HtmlTable table = Tables.of("memory of a training", "rows", "tokens a row", "weights and optimizer", "a step, activations kept", "a step, recomputed", "fits");
        plan.perLength().forEach(each -> table.row(each.sequences(), each.tokens(), bytes(each.keepAll().standingBytes()), bytes(each.keepAll().takenBytes()),
                bytes(each.recompute().takenBytes()), each.fits()));
        return plan.limitBytes() == Long.MAX_VALUE ? table : table.note("of " + ShortNumber.bytes(plan.limitBytes()) + " that may be used");
    }

    private static HtmlTable.RightAligned bytes(long bytes) {
        return new HtmlTable.RightAligned(ShortNumber.bytes(bytes));
    }

    private static Displayable memory(MemoryUse use) {
        HtmlTable table = new HtmlTable("memory", "bytes");
        table.row("in use", right(use.bytesInUse())).row("most in use so far", right(use.peakBytes())).row("taken from the system", right(use.reservedBytes()));
        if (use.hostBytes() > 0) {
            table.row("of the host's memory", right(use.hostBytes()));
        }
        return use.limitBytes() == Long.MAX_VALUE ? table : table.row("limit", right(use.limitBytes()));
    }

    private static HtmlTable.RightAligned right(long bytes) {
        return new HtmlTable.RightAligned(ShortNumber.bytes(bytes));
    }

    private static Displayable diff(WeightDiff diff) {
        WeightDiff.Figures figures = diff.figures();
        HtmlTable table = Tables.of(diff.module(), "norm before", "norm of change", "relative", "largest change", "largest error", "unchanged", "effective rank").percent("relative", "unchanged")
                .row(figures.beforeNorm(), figures.changeNorm(), figures.relativeChange(), figures.largestChange(), figures.largestError(), figures.unchanged(), diff.spectrum().effectiveRank());
        return diff.isDecoded() ? table.note("numbers as the 4 bits decode: they change with the absmax of their block also where the codes stay; CodeFlips compares the codes") : table;
    }

    private static Displayable flips(CodeFlips flips) {
        return Tables.of(flips.module(), "codes flipped", "to a neighbour", "blocks with another absmax").percent("codes flipped", "to a neighbour", "blocks with another absmax")
                .row(flips.flipped(), flips.toNeighbour(), flips.otherScales());
    }

    private static Displayable spectrum(Spectrum spectrum, int rows) {
        double total = spectrum.singularValues().stream().mapToDouble(value -> value * value).sum();
        HtmlTable table = Tables.of("", "direction", "singular value", "share of the update").percent("share of the update");
        for (int i = 0; i < Math.min(rows, spectrum.singularValues().size()); i++) {
            double value = spectrum.singularValues().get(i);
            table.row(i + 1, value, total == 0 ? 0 : value * value / total);
        }
        return table.note("effective rank " + ShortNumber.of(Math.round(100 * spectrum.effectiveRank()) / 100.0) + " of " + spectrum.singularValues().size());
    }

    private static Displayable run(TrainResult result) {
        if (result.steps().isEmpty()) {
            return new Line(result.interrupted() ? "a run that was stopped before its first step" : "a run without steps");
        }
        HtmlTable table = Tables.of("", "step", "loss", "held-out loss");
        List<TrainEvent.Evaluated> evaluations = result.evaluations();
        double[] smooth = TrainingChart.smoothed(result.steps().stream().mapToDouble(TrainEvent.StepEnd::loss).toArray());
        for (TrainEvent.Evaluated evaluated : evaluations) {
            int at = Math.min(evaluated.step(), smooth.length);
            table.row(evaluated.step(), at == 0 ? null : smooth[at - 1], evaluated.loss());
        }
        if (evaluations.isEmpty()) {
            table.row(result.steps().getFirst().step(), smooth[0], null).row(result.steps().getLast().step(), smooth[smooth.length - 1], null);
        }
        String state = result.interrupted() ? "stopped after step " + result.steps().getLast().step() + ", steps are left" : "finished";
        String figures = state + ": " + result.steps().size() + " steps in " + ShortNumber.seconds(result.seconds()) + ", " + Math.round(result.tokensPerSecond()) + " tokens/s, at most "
                + ShortNumber.bytes(result.peakBytes()) + "; the loss is smoothed";
        return new Stack(table.note(figures), new Picture(TrainingChart.of(result, ""), "loss over the steps"));
    }

    /** A chart within other things.
     * @param said what stands for it where it cannot be seen */
    record Picture(org.knowm.xchart.XYChart chart, String said) implements Displayable {
        @Override
        public String text() {
            return "";
        }

        @Override
        public String html() {
            return PngImage.of(chart).html(said);
        }
    }
}
