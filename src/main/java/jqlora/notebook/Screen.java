package jqlora.notebook;

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

    /** Runs {@code action} once when the current cell ends, before the front end hears that it is idle; never where there are no cells. */
    void atCellEnd(Runnable action);

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
