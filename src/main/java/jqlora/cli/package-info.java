/**
 * The command line: options in, library calls, text out. The launcher {@code ./jqlora} sets up the machine and calls it.
 *
 * <p>May import: all rooms above it. Only place for picocli and YAML; with {@code kernel} and {@code notebook} the only one that prints,
 * exits and reads the environment.
 * <p>Read in this order: {@link jqlora.cli.Main}, {@link jqlora.cli.TrainCommand}, {@link jqlora.cli.GivenOptions},
 * {@link jqlora.cli.TrainSettings}, {@link jqlora.cli.TrainRun}.
 */
package jqlora.cli;
