package jqlora.cli;

import jqlora.ops.cpu.CpuOptions;
import picocli.CommandLine.Option;

/** Options of every command that may compute on the processor. */
final class ProcessorThreads {
    static final String OPTION = "--threads", VARIABLE = "JQLORA_THREADS";

    @Option(names = OPTION, paramLabel = "N",
            description = "Threads that compute on the processor; default: the environment variable JQLORA_THREADS, or one for each processor that this process may use.")
    private String threads;

    CpuOptions options() {
        return options(System.getenv(VARIABLE));
    }

    private CpuOptions options(String variable) {
        if (threads != null) {
            return CpuOptions.ofThreads(OPTION, threads);
        }
        return variable == null || variable.isBlank() ? CpuOptions.defaults() : CpuOptions.ofThreads(VARIABLE, variable);
    }
}
