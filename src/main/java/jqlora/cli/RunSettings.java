package jqlora.cli;

import java.nio.file.Path;

/**
 * What is done, and where it is written.
 *
 * @param output folder of the adapter, its checkpoints and the results
 * @param overwrite whether a run that is there is removed first
 * @param loggingSteps steps between two lines where the output is no terminal
 * @param warmupRatio share of all steps
 */
record RunSettings(Path output, boolean overwrite, boolean train, boolean evaluate, int loggingSteps, double warmupRatio) { }
