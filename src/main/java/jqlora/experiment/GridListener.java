package jqlora.experiment;

import jqlora.train.TrainListener;

/** Hears how far a grid is. */
public interface GridListener {
    /** Hears nothing. */
    GridListener SILENT = (number, count, cell) -> TrainListener.SILENT;

    /**
     * The training of {@code cell} begins, or it is read where it is done already.
     *
     * @param number of the cell, from 1
     * @param count of cells
     * @return hears its steps
     */
    TrainListener training(int number, int count, GridCell cell);
}
