package jqlora.model;

import java.util.ArrayList;
import java.util.List;

/**
 * What a linear layer's weight is now: what was loaded, and the updates merged into it since that are still in it, the earliest first.
 */
public record WeightState(LoadedWeight loaded, List<MergedUpdate> merges) {
    public WeightState {
        merges = List.copyOf(merges);
    }

    /** As loaded. */
    static WeightState of(LoadedWeight loaded) {
        return new WeightState(loaded, List.of());
    }

    /** This with {@code update} merged on top. */
    public WeightState with(MergedUpdate update) {
        List<MergedUpdate> all = new ArrayList<>(merges);
        all.add(update);
        return new WeightState(loaded, all);
    }

    /** Such as {@code BF16, merged: r 8, alpha 16, q_proj by ONTO_BASE}. */
    @Override
    public String toString() {
        return loaded.kept() + (merges.isEmpty() ? "" : ", merged: " + String.join("; ", merges.stream().map(MergedUpdate::toString).toList()));
    }
}
