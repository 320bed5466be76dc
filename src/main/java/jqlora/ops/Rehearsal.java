package jqlora.ops;

/**
 * A backend that computes nothing: its operations take and give back memory as those of the backend that it stands for would, so whatever can be
 * computed can be rehearsed, and {@link #memory} then tells what it would take. It takes tensors of the real backend too, and reads of them shape and dtype only.
 */
public final class Rehearsal implements CheckedOps {
    private final DryRun dryRun;

    public Rehearsal(MemoryAccount account) {
        dryRun = new DryRun(account);
    }

    @Override
    public Ops unchecked() {
        return dryRun;
    }
}
