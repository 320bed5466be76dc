package jqlora.model;

/**
 * Who may use a model now: nobody once it is closed, one thread alone while it is lent to it, such as to a training in the background, else anybody, one at a
 * time.
 */
public final class ModelUse {
    private String name;
    private String wayBack = "";
    private Thread borrower;
    private String purpose;
    private String wayOut;
    private boolean closed;

    /** @param name of what is used, such as {@code the model llama, 8 layers} */
    public ModelUse(String name) {
        this.name = name;
    }

    /**
     * What messages call it, and how to get it again after it was closed.
     *
     * @param newWayBack such as {@code open it again with openModel(...)}
     */
    public synchronized void named(String newName, String newWayBack) {
        name = newName;
        wayBack = newWayBack;
    }

    /**
     * Refuses {@code what} if this is closed, or lent to another thread than the calling one.
     *
     * @param what is to be done, such as {@code loss}
     * @throws IllegalStateException then; the message names the model, says why, and what would do
     */
    public synchronized void require(String what) {
        requireOpen(what);
        if (borrower != null && borrower != Thread.currentThread()) {
            throw new IllegalStateException(what + ": " + name + " is " + purpose + "; " + wayOut);
        }
    }

    /** Refuses {@code what} if this is closed.
     * @throws IllegalStateException then */
    public synchronized void requireOpen(String what) {
        if (closed) {
            throw new IllegalStateException(what + ": " + name + " was closed" + (wayBack.isEmpty() ? "" : "; " + wayBack));
        }
    }

    public synchronized boolean isClosed() {
        return closed;
    }

    /**
     * Lends this to {@code thread}, which alone may use it until {@link #giveBack}.
     *
     * @param newPurpose what for, behind "is": {@code being trained in the background}
     * @param newWayOut what somebody else who wants to use it can do
     * @throws IllegalStateException if it is closed, or lent already
     */
    public synchronized void lend(Thread thread, String newPurpose, String newWayOut) {
        require("training");
        borrower = thread;
        purpose = newPurpose;
        wayOut = newWayOut;
    }

    /** Ends what {@link #lend} began. */
    public synchronized void giveBack() {
        borrower = null;
    }

    /** From here on nothing may be done. */
    synchronized void close() {
        closed = true;
    }
}
