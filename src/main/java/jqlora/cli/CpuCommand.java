package jqlora.cli;

import java.util.concurrent.Callable;
import jqlora.ops.cpu.CpuOptions;
import jqlora.tensor.Processors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** How many threads would compute on this machine's processor. */
@Command(name = "cpu", description = "Say how many threads would compute on the processor, and why.", mixinStandardHelpOptions = true)
final class CpuCommand implements Callable<Integer> {
    @Mixin
    private ProcessorThreads processor = new ProcessorThreads();

    @Override
    public Integer call() {
        CpuOptions options = processor.options();
        Processors processors = Processors.ofProcess();
        int threads = options.threadsOn(processors);
        System.out.println(threads + (threads == 1 ? " thread" : " threads") + (options.threads() == 0 ? "" : " as asked for") + " on " + processors);
        return 0;
    }
}
