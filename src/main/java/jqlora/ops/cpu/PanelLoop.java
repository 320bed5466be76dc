package jqlora.ops.cpu;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.IntFunction;
import jqlora.tensor.Workers;

/**
 * How the threads share a product once a is packed. Each takes a panel of b, packs it and multiplies band after band of rows of a by it. When
 * no panel is left, those who are done take bands of the panels that others have begun: so all end within a band of each other, however
 * few panels there are, and a thread that has lost its processor keeps no more than a band from the others.
 */
final class PanelLoop {
    private static final int BAND_ROWS = 64;                      // of a: some ten microseconds, a hundred times what taking one costs

    /** Multiplies rows {@code first} ... {@code last} - 1 of tiles by a packed panel of b. */
    @FunctionalInterface
    interface Band {
        void multiply(int panel, float[] packed, int first, int last);
    }

    /** A packed panel, and the next of its bands that nobody has taken. */
    private record Begun(float[] packed, AtomicInteger next) { }

    private final Workers workers;
    private final int panels;
    private final int tiles;
    private final int bandTiles;
    private final AtomicReferenceArray<Begun> begun;

    private PanelLoop(Workers workers, int panels, int tiles, int tileRows) {
        this.workers = workers;
        this.panels = panels;
        this.tiles = tiles;
        this.bandTiles = Math.max(1, BAND_ROWS / tileRows);
        this.begun = new AtomicReferenceArray<>(panels);
    }

    /**
     * @param panels of b
     * @param tiles how many tiles lie below each other
     * @param tileRows rows of a tile
     * @param pack the packed panel, in an array that its thread does not write again before all is done unless it takes another panel
     */
    static void run(Workers workers, int panels, int tiles, int tileRows, IntFunction<float[]> pack, Band band) {
        if (workers.isAlone()) {
            for (int panel = 0; panel < panels; panel++) {
                band.multiply(panel, pack.apply(panel), 0, tiles);
            }
            return;
        }
        PanelLoop loop = new PanelLoop(workers, panels, tiles, tileRows);
        if (tiles <= loop.bandTiles) {
            workers.run(panels, panel -> band.multiply(panel, pack.apply(panel), 0, tiles));
            return;
        }
        // pieces are begun in order: by the first after the panels, every thread is at its last panel
        workers.run(panels + workers.size(), piece -> {
            if (piece < panels) {
                Begun mine = new Begun(pack.apply(piece), new AtomicInteger());
                loop.begun.set(piece, mine);
                loop.bands(piece, mine, band);
            } else {
                loop.help(band);
            }
        });
    }

    private void bands(int panel, Begun of, Band band) {
        for (int first; (first = of.next.getAndAdd(bandTiles)) < tiles; ) {
            band.multiply(panel, of.packed, first, Math.min(tiles, first + bandTiles));
        }
    }

    private void help(Band band) {
        for (int panel = panels - 1; panel >= 0; panel--) {
            int at = panel;
            // about as long as packing takes; who has lost its processor while packing is left alone
            if (Workers.spinUntil(() -> begun.get(at) != null) && begun.get(at).next.get() < tiles) {
                bands(panel, begun.get(panel), band);
            }
        }
    }
}
