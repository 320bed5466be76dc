package jqlora.experiment;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import jqlora.inspect.Shares;
import jqlora.train.TrainResult;
import org.apache.commons.math3.distribution.FDistribution;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.HeatMapChart;
import tech.tablesaw.api.BooleanColumn;
import tech.tablesaw.api.DoubleColumn;
import tech.tablesaw.api.IntColumn;
import tech.tablesaw.api.LongColumn;
import tech.tablesaw.api.StringColumn;
import tech.tablesaw.api.Table;

/**
 * What a grid found. Losses are held-out losses: mean -log p of the answers' tokens.
 *
 * @param baseParameters numbers of the base
 * @param base losses of the base by data set
 * @param runs one a cell, in the order in which they were asked for
 */
public record GridResult(long baseParameters, Map<String, Losses> base, List<Run> runs) {
    private static final double CLEAR = 2;                        // standard errors

    public GridResult {
        base = Collections.unmodifiableMap(new LinkedHashMap<>(base));
        runs = List.copyOf(runs);
    }

    /**
     * @param choosing on the rows that choose the learning rate
     * @param reported on the others
     */
    public record Losses(double choosing, double reported) { }

    /**
     * @param parameters trained numbers
     * @param losses infinite where the training diverged
     */
    public record Run(GridCell cell, long parameters, Losses losses, TrainResult training) { }

    /**
     * Some modules on a data set, at the rate whose loss on the choosing rows is least.
     *
     * @param parameters trained numbers
     * @param atEnd whether that rate is the lowest or the highest that was tried: a further one might be better
     * @param seeds how many
     * @param loss reported loss, mean over the seeds
     * @param spread standard deviation of one seed's loss; NaN for a single seed
     * @param gone share of the base's reported loss that is gone
     */
    public record Best(String dataSet, String targets, long parameters, double learningRate, boolean atEnd, int seeds, double loss, double spread, double gone) { }

    /**
     * How far the best modules of a data set are ahead of the next.
     *
     * @param lead difference of their reported losses
     * @param error standard error of that difference, from the spread of the seeds in all of the result together; NaN where no cell has two
     * @param clear whether the lead is more than two standard errors
     */
    public record Lead(String dataSet, String best, String next, double lead, double error, boolean clear) { }

    /**
     * Whether some modules suit some data better than the rest: what is left of the shares of the loss that is gone when the mean of each data set and the mean of each
     * choice of modules are taken off. It would be nothing but noise if modules did the same for all data.
     *
     * @param size of what is left, as the standard deviation of one cell of the grid
     * @param noise the size that the spread of the seeds alone would give; NaN where no cell has two
     * @param chance how often noise alone would be at least as large (the p-value of an F test); NaN where no cell has two
     */
    public record Interplay(double size, double noise, double chance) { }

    /** The data sets, in the order of the runs. */
    public List<String> dataSets() {
        return runs.stream().map(run -> run.cell.dataSet()).distinct().toList();
    }

    /** The choices of modules, in the order of the runs. */
    public List<String> targets() {
        return runs.stream().map(run -> run.cell.targets().text()).distinct().toList();
    }

    /** This with only those cells that {@code kept} wants. */
    public GridResult where(Predicate<GridCell> kept) {
        List<Run> some = runs.stream().filter(run -> kept.test(run.cell)).toList();
        Map<String, Losses> theirs = new LinkedHashMap<>(base);
        theirs.keySet().retainAll(some.stream().map(run -> run.cell.dataSet()).collect(Collectors.toSet()));
        return new GridResult(baseParameters, theirs, some);
    }

    /** As if only {@code learningRate} had been tried. */
    public GridResult at(double learningRate) {
        return where(cell -> cell.learningRate() == learningRate);
    }

    /**
     * This and {@code other}; a cell of both counts once.
     *
     * @throws IllegalArgumentException if both have a data set on which the base has different losses: they are of different models or rows
     */
    public GridResult plus(GridResult other) {
        Map<String, Losses> both = new LinkedHashMap<>(base);
        other.base.forEach((name, losses) -> {
            Losses present = both.putIfAbsent(name, losses);
            if (present != null && !present.equals(losses)) {
                throw new IllegalArgumentException("grid: the base has " + present + " on " + name + " in one result, " + losses + " in the other; they must be of the same model and rows");
            }
        });
        Map<GridCell, Run> all = new LinkedHashMap<>();
        runs.forEach(run -> all.put(run.cell, run));
        other.runs.forEach(run -> all.putIfAbsent(run.cell, run));
        return new GridResult(baseParameters, both, List.copyOf(all.values()));
    }

    /** Every choice of modules on every data set, each at its own best rate. */
    public List<Best> best() {
        List<Best> best = new ArrayList<>();
        for (List<Run> group : groups()) {
            List<Double> rates = group.stream().map(run -> run.cell.learningRate()).distinct().sorted().toList();
            double rate = bestRate(group, rates);
            double[] losses = group.stream().filter(run -> run.cell.learningRate() == rate).mapToDouble(run -> run.losses.reported).toArray();
            double mean = mean(losses);
            Run any = group.getFirst();
            best.add(new Best(any.cell.dataSet(), any.cell.targets().text(), any.parameters, rate, rate == rates.getFirst() || rate == rates.getLast(), losses.length, mean,
                    losses.length == 1 ? Double.NaN : Math.sqrt(squares(losses, mean) / (losses.length - 1)), 1 - mean / base.get(any.cell.dataSet()).reported));
        }
        return best;
    }

    /** The cells of {@link #best} with other seeds: what is to be trained for error bars. */
    public List<GridCell> bestWithSeeds(long... seeds) {
        List<GridCell> cells = new ArrayList<>();
        for (List<Run> group : groups()) {
            double rate = bestRate(group, group.stream().map(run -> run.cell.learningRate()).distinct().sorted().toList());
            for (long seed : seeds) {
                cells.add(group.getFirst().cell.withLearningRate(rate).withSeed(seed));
            }
        }
        return cells;
    }

    /** The runs of one choice of modules on one data set. */
    private List<List<Run>> groups() {
        Map<String, List<Run>> groups = new LinkedHashMap<>();
        for (String set : dataSets()) {
            for (Run run : runs) {
                if (run.cell.dataSet().equals(set)) {
                    groups.computeIfAbsent(set + "\n" + run.cell.targets().text(), none -> new ArrayList<>()).add(run);
                }
            }
        }
        return List.copyOf(groups.values());
    }

    /** Only seeds that every rate was tried with are counted, if there are any: one more seed at one rate must not make another rate better. */
    private static double bestRate(List<Run> group, List<Double> rates) {
        Set<Long> common = group.stream().map(run -> run.cell.seed()).collect(Collectors.toCollection(LinkedHashSet::new));
        for (double rate : rates) {
            common.retainAll(group.stream().filter(run -> run.cell.learningRate() == rate).map(run -> run.cell.seed()).toList());
        }
        return rates.stream().min(Comparator.comparingDouble(rate -> mean(group.stream()
                .filter(run -> run.cell.learningRate() == rate && (common.isEmpty() || common.contains(run.cell.seed()))).mapToDouble(run -> run.losses.choosing).toArray()))).orElseThrow();
    }

    private static double mean(double[] values) {
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        return sum / values.length;
    }

    private static double squares(double[] values, double mean) {
        double sum = 0;
        for (double value : values) {
            sum += (value - mean) * (value - mean);
        }
        return sum;
    }

    /**
     * The standard deviation of one seed's reported loss, from all of {@link #best} that have several seeds: each alone has too few to tell.
     *
     * @return NaN where none has
     */
    public double spread() {
        double squares = 0;
        int freedom = 0;
        for (Best each : best()) {
            if (each.seeds > 1 && Double.isFinite(each.spread)) {
                squares += each.spread * each.spread * (each.seeds - 1);
                freedom += each.seeds - 1;
            }
        }
        return freedom == 0 ? Double.NaN : Math.sqrt(squares / freedom);
    }

    private Map<String, List<Best>> ranked() {
        Map<String, List<Best>> ranked = new LinkedHashMap<>();
        best().forEach(each -> ranked.computeIfAbsent(each.dataSet, none -> new ArrayList<>()).add(each));
        ranked.values().forEach(each -> each.sort(Comparator.comparingDouble(Best::loss)));
        return ranked;
    }

    /** For each data set with two choices of modules or more: which is best, and how clearly. */
    public List<Lead> leads() {
        double spread = spread();
        List<Lead> leads = new ArrayList<>();
        ranked().forEach((set, order) -> {
            if (order.size() > 1) {
                Best first = order.get(0), second = order.get(1);
                double lead = second.loss - first.loss, error = spread * Math.sqrt(1.0 / first.seeds + 1.0 / second.seeds);
                leads.add(new Lead(set, first.targets, second.targets, lead, error, lead > CLEAR * error));
            }
        });
        return leads;
    }

    /** What is left of each share when the means of its data set and its modules are taken off: data sets down, modules across. */
    double[][] left() {
        List<String> sets = dataSets(), targets = targets();
        List<Best> best = best();
        double[][] left = new double[sets.size()][targets.size()];
        double[] ofSet = new double[sets.size()], ofTargets = new double[targets.size()];
        double all = 0;
        if (sets.size() < 2 || targets.size() < 2 || best.size() != sets.size() * targets.size() || !best.stream().allMatch(each -> Double.isFinite(each.gone))) {
            throw new IllegalArgumentException("grid: an interplay needs at least two data sets and two choices of modules, each with each, and a finite loss everywhere; there are " + best.size()
                    + " of " + sets.size() + " times " + targets.size());
        }
        for (Best each : best) {
            int i = sets.indexOf(each.dataSet), j = targets.indexOf(each.targets);
            left[i][j] = each.gone;
            ofSet[i] += each.gone / targets.size();
            ofTargets[j] += each.gone / sets.size();
            all += each.gone / best.size();
        }
        for (int i = 0; i < left.length; i++) {
            for (int j = 0; j < left[i].length; j++) {
                left[i][j] += all - ofSet[i] - ofTargets[j];
            }
        }
        return left;
    }

    /**
     * Whether data sets want different modules, as far as this can tell.
     *
     * @throws IllegalArgumentException unless every data set has every choice of modules, at least two of both
     */
    public Interplay interplay() {
        double squares = 0, noise = 0, perCell = 0;
        for (double[] row : left()) {
            for (double value : row) {
                squares += value * value;
            }
        }
        List<Best> best = best();
        int freedom = (dataSets().size() - 1) * (targets().size() - 1), seeds = 0;
        for (Best each : best) {
            perCell += 1.0 / each.seeds / best.size();
            if (each.seeds > 1) {
                double share = each.spread / base.get(each.dataSet).reported;
                noise += share * share * (each.seeds - 1);
                seeds += each.seeds - 1;
            }
        }
        double size = Math.sqrt(squares / freedom), expected = seeds == 0 ? Double.NaN : Math.sqrt(noise / seeds * perCell);
        return new Interplay(size, expected, expected > 0 ? 1 - new FDistribution(freedom, seeds).cumulativeProbability(size * size / (expected * expected)) : Double.NaN);
    }

    /** The choices of modules on each data set, the best first. */
    public Table ranking() {
        StringColumn sets = StringColumn.create("data set");
        List<StringColumn> places = IntStream.rangeClosed(1, targets().size()).mapToObj(place -> StringColumn.create(place + ".")).toList();
        ranked().forEach((set, order) -> {
            sets.append(set);
            for (int i = 0; i < places.size(); i++) {
                places.get(i).append(i < order.size() ? order.get(i).targets : "");
            }
        });
        return Table.create("The best modules first, each at its own rate", sets).addColumns(places.toArray(StringColumn[]::new));
    }

    /** A row for each of {@link #best}. */
    public Table table() {
        StringColumn sets = StringColumn.create("data set"), targets = StringColumn.create("target modules");
        LongColumn parameters = LongColumn.create("numbers trained");
        DoubleColumn trainable = Shares.column("trainable", 2), rates = DoubleColumn.create("best rate"), losses = DoubleColumn.create("held-out loss"), spreads = DoubleColumn.create("spread"),
                gone = Shares.column("of the base's gone", 1);
        BooleanColumn ends = BooleanColumn.create("at an end");
        IntColumn seeds = IntColumn.create("seeds");
        for (Best each : best()) {
            sets.append(each.dataSet);
            targets.append(each.targets);
            parameters.append(each.parameters);
            trainable.append((double) each.parameters / (baseParameters + each.parameters));
            rates.append(each.learningRate);
            ends.append(each.atEnd);
            seeds.append(each.seeds);
            losses.append(each.loss);
            spreads.append(each.spread);
            gone.append(each.gone);
        }
        return Table.create("Each choice of modules at its own best rate", sets, targets, parameters, trainable, rates, ends, seeds, losses, spreads, gone);
    }

    /** Data sets down, modules across: the share of the base's loss that is gone, each at its own best rate. */
    public HeatMapChart heatMap() {
        return GridCharts.heatMap(this);
    }

    /** The loss on the rows that choose, over the learning rate: a line for each choice of modules, mean over the seeds. */
    public CategoryChart curves(String dataSet) {
        return GridCharts.curves(this, dataSet);
    }

    /** The share of the base's loss that is gone, with the spread of one seed up and down. */
    public CategoryChart bars() {
        return GridCharts.bars(this);
    }

    /** What {@link #interplay} sums up, in percentage points: above zero where modules do more for a data set than data set and modules would make expect. */
    public HeatMapChart interplayMap() {
        return GridCharts.interplay(this);
    }

    /** Seconds in the steps of all trainings. */
    public double seconds() {
        return runs.stream().mapToDouble(run -> run.training.seconds()).sum();
    }

    /** Such as {@code 36 trainings: 3 data sets, 4 choices of modules}. */
    @Override
    public String toString() {
        return runs.size() + " trainings: " + dataSets().size() + " data sets, " + targets().size() + " choices of modules";
    }
}
