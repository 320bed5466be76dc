package jqlora.kernel;

/**
 * How fast something may go on average, with room for a burst: an allowance that is spent and grows back.
 * Jupyter's server drops output above a thousand messages or a million bytes a second, measured over three seconds.
 */
final class Pace {
    private final double perNano;
    private final double burst;
    private double allowance;
    private long lastNanos;

    /**
     * @param perSecond how much the allowance grows in a second
     * @param burst     how much it can hold; it begins full
     */
    Pace(double perSecond, double burst, long nowNanos) {
        this.perNano = perSecond / 1e9;
        this.burst = burst;
        this.allowance = burst;
        this.lastNanos = nowNanos;
    }

    /** Spends {@code amount} and returns how many nanoseconds to wait before going on; 0 while the allowance lasts. */
    long spend(double amount, long nowNanos) {
        allowance = Math.min(burst, allowance + (nowNanos - lastNanos) * perNano) - amount;
        lastNanos = nowNanos;
        return allowance >= 0 ? 0 : (long) (-allowance / perNano);
    }
}
