/**
 * The experiment that jqlora is named for: one base, quantized once; a data set for each adapter, and for each data set its own target modules;
 * then every adapter against every data set. And the grid that asks which modules suit which data: every data set with every choice of modules, rates
 * searched, seeds repeated.
 *
 * <p>May import: all rooms above it.
 * <p>Read in this order: {@link jqlora.experiment.TargetPlan}, {@link jqlora.experiment.TargetExperiment},
 * {@link jqlora.experiment.ExperimentResult}; {@link jqlora.experiment.GridCell}, {@link jqlora.experiment.TargetGrid},
 * {@link jqlora.experiment.GridResult}.
 */
package jqlora.experiment;
