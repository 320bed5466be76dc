package jqlora.experiment;

import jqlora.train.TrainListener;

/** Hears how far an experiment is. */
public interface ExperimentListener {
    /** Hears nothing. */
    ExperimentListener SILENT = (number, count, entry) -> TrainListener.SILENT;

    /**
     * The training of an adapter begins.
     *
     * @param number of the adapter, from 1
     * @param count of adapters
     * @return hears its steps
     */
    TrainListener training(int number, int count, TargetPlan.Entry entry);
}
