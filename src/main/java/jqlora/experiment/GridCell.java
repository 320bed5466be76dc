package jqlora.experiment;

import java.nio.file.Path;
import jqlora.lora.TargetModules;

/**
 * One training of a grid.
 *
 * @param dataSet name of the data set
 * @param targets which modules get an adapter
 * @param learningRate the highest of the schedule
 * @param seed of A's first numbers, of the order of rows and of dropout
 */
public record GridCell(String dataSet, TargetModules targets, double learningRate, long seed) {
    public GridCell withLearningRate(double learningRate) {
        return new GridCell(dataSet, targets, learningRate, seed);
    }

    public GridCell withSeed(long seed) {
        return new GridCell(dataSet, targets, learningRate, seed);
    }

    /** Where the cell is kept below {@code grid}, such as {@code zh-riddles/q_proj/lr-0.002/seed-42}. */
    public Path folder(Path grid) {
        return grid.resolve(dataSet).resolve(folderName()).resolve("lr-" + learningRate).resolve("seed-" + seed);
    }

    private String folderName() {
        String plain = targets.text().replaceAll("[^A-Za-z0-9_.-]+", "+");
        // two expressions may differ in nothing but signs
        return targets instanceof TargetModules.Regex ? "regex-" + plain + "-" + Integer.toHexString(targets.text().hashCode()) : plain;
    }

    /** Such as {@code zh-riddles, q_proj, learning rate 0.002, seed 42}. */
    @Override
    public String toString() {
        return dataSet + ", " + targets.text() + ", learning rate " + learningRate + ", seed " + seed;
    }
}
