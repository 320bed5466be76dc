package jqlora.notebook;

import java.util.function.Supplier;
import org.dflib.jjava.jupyter.kernel.BaseKernel;

/** Where shown values go: a notebook's outputs, or a terminal. Every method may be called from any thread. */
public interface Screen {
    /** Shows {@code content} for good. */
    void show(Rendered content);

    /** Shows {@code content} as an output that {@link #update} can replace. */
    void open(String id, Rendered content);

    /**
     * Replaces what {@code id} shows.
     *
     * @param last whether nothing more will follow for this id
     */
    void update(String id, Rendered content, boolean last);

    /** Takes away what the running cell has shown and printed so far; nothing where that cannot be taken back, as on a terminal. */
    void clear();

    /** Runs {@code action} once when the current cell ends, before the front end hears that it is idle; never where there are no cells. */
    void atCellEnd(Runnable action);

    /**
     * What {@code drawing} returns, with an interrupt of the thread kept for afterwards: Java2D swallows one that comes while it draws for the first time,
     * and whoever asked for the picture, such as a training, is to hear of it.
     */
    default <T> T undisturbed(Supplier<T> drawing) {
        boolean interrupted = Thread.interrupted();
        try {
            return drawing.get();
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** A Jupyter kernel whose screen also reaches the front end between cells and from other threads. */
    interface Owner {
        /** The screen of this kernel's notebook. */
        Screen screen();
    }

    /** The screen of the notebook that this JVM is the kernel of, or of the terminal where it is none. */
    static Screen current() {
        BaseKernel kernel;
        try {
            kernel = BaseKernel.notebookKernel();
        } catch (NullPointerException noKernel) {                 // its way of saying that there is none
            return new TerminalScreen(System.out, System.console() != null && System.console().isTerminal());
        }
        return kernel instanceof Owner ours ? ours.screen() : new KernelScreen(kernel);
    }
}
