package jqlora.cli;

import java.io.IOException;
import jqlora.ops.cuda.CudaException;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** Entry of the command line. A refused option or file ends with a message and status 2, without a stack trace. */
@Command(name = "jqlora", description = "QLoRA for Java.", mixinStandardHelpOptions = true, subcommands = {TrainCommand.class, PretrainCommand.class, CpuCommand.class, GpuCommand.class})
public final class Main {
    private Main() { }

    public static void main(String[] args) {
        System.exit(commandLine().execute(args));
    }

    /** The commands; executing one gives the status to exit with. */
    static CommandLine commandLine() {
        CommandLine line = new CommandLine(new Main());
        line.setExecutionExceptionHandler((thrown, command, parsed) -> {
            if (thrown instanceof IOException || thrown instanceof IllegalArgumentException || thrown instanceof CudaException) {
                command.getErr().println(command.getCommandName() + ": " + thrown.getMessage());
                return 2;
            }
            throw thrown;
        });
        CommandLine.IParameterExceptionHandler withUsage = line.getParameterExceptionHandler();
        line.setParameterExceptionHandler((wrong, words) -> {
            CommandLine command = wrong.getCommandLine();
            if (!(command.getCommand() instanceof TrainCommand)) {
                return withUsage.handleParseException(wrong, words);
            }
            wrong.getMessage().lines().forEach(problem -> command.getErr().println(command.getCommandName() + ": " + problem));
            return CommandLine.ExitCode.USAGE;
        });
        return line;
    }
}
