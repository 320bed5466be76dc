package jqlora.train;

/** Hears what happens in a run, on the thread that trains. */
@FunctionalInterface
public interface TrainListener {
    /** Hears nothing. */
    TrainListener SILENT = event -> { };

    void on(TrainEvent event);

    /** Tells this one and then {@code other}. */
    default TrainListener and(TrainListener other) {
        return event -> {
            on(event);
            other.on(event);
        };
    }
}
