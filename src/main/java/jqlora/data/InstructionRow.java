package jqlora.data;

/**
 * A task and its answer, as in the Alpaca data.
 *
 * @param input what the instruction is about; empty when it needs nothing
 * @param output the answer that is to be learned
 */
public record InstructionRow(String instruction, String input, String output) {
    public InstructionRow {
        if (instruction.isBlank() && input.isBlank()) {
            throw new IllegalArgumentException("instruction and input are both empty, one must say what is asked");
        }
    }

    /** A task without input. */
    public static InstructionRow of(String instruction, String output) {
        return new InstructionRow(instruction, "", output);
    }
}
