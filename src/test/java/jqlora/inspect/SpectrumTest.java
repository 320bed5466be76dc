package jqlora.inspect;

import static jqlora.Assert.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import jqlora.ops.LoraDelta;
import jqlora.ops.LoraFactors;
import jqlora.ops.Parameter;
import jqlora.ops.cpu.CpuOps;
import jqlora.tensor.TensorView;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.SingularValueDecomposition;
import org.junit.jupiter.api.Test;

class SpectrumTest {
    private static Spectrum spectrum(float[] a, float[] b, int r, float scaling) {
        return Spectrum.of(delta(a, b, r, scaling));
    }

    private static LoraDelta delta(float[] a, float[] b, int r, float scaling) {
        try (CpuOps ops = CpuOps.create(1); Parameter aParameter = Parameter.frozen("a", ops.upload(TensorView.ofFloats(a, r, a.length / r)));
                Parameter bParameter = Parameter.frozen("b", ops.upload(TensorView.ofFloats(b, b.length / r, r)))) {
            return LoraDelta.of(ops, new LoraFactors(aParameter, bParameter, scaling, 0f, 0));
        }
    }

    private static double[] values(Spectrum spectrum) {
        return spectrum.singularValues().stream().mapToDouble(Double::doubleValue).toArray();
    }

    @Test
    void aDiagonalUpdateHasItsDiagonal() {
        // A picks inputs 1 and 3 of 4, B sends them to outputs 0 and 2 of 3, three and four times as large; scaling 2
        Spectrum spectrum = spectrum(new float[] {0, 1, 0, 0, 0, 0, 0, 1}, new float[] {3, 0, 0, 0, 0, 4}, 2, 2);
        assertClose(values(spectrum), new double[] {8, 6}, 1e-12, 0);
        assertClose("norm", spectrum.norm(), 10, 1e-12, 0);
        assertClose("largest", spectrum.largest(), 8, 1e-12, 0);
        double p = 8 / 14.0, q = 6 / 14.0;
        assertClose("effective rank", spectrum.effectiveRank(), Math.exp(-p * Math.log(p) - q * Math.log(q)), 1e-12, 0);
    }

    @Test
    void theSmallDecompositionIsThatOfTheWholeUpdate() {
        Random random = new Random(3);
        for (int[] size : new int[][] {{20, 12, 3}, {12, 20, 5}, {6, 9, 8}, {9, 6, 8}, {5, 4, 9}}) {
            int out = size[0], in = size[1], r = size[2];
            float[] a = normal(random, r * in), b = normal(random, out * r);
            LoraDelta delta = delta(a, b, r, 0.5f);
            double[][] whole = new double[out][in];
            float[][] rows = delta.toRows();
            for (int i = 0; i < out; i++) {
                for (int j = 0; j < in; j++) {
                    whole[i][j] = rows[i][j];
                }
            }
            double[] expected = new SingularValueDecomposition(new Array2DRowRealMatrix(whole)).getSingularValues(), actual = values(Spectrum.of(delta));
            int common = Math.min(expected.length, actual.length);
            String what = "out " + out + ", in " + in + ", r " + r;
            // the whole update is in float32
            assertClose(what, Arrays.copyOf(actual, common), Arrays.copyOf(expected, common), 1e-5, 1e-5);
            for (int i = common; i < expected.length; i++) {
                assertTrue(expected[i] < 1e-5, what + ": value " + i + " of the whole update is " + expected[i] + ", beyond r it must be noise");
            }
            for (int i = common; i < actual.length; i++) {
                assertTrue(actual[i] < 1e-5, what + ": value " + i + " is " + actual[i] + ", beyond the size of the weight it must be noise");
            }
        }
    }

    private static float[] normal(Random random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    @Test
    void effectiveRankCountsDirections() {
        assertClose("all equal", new Spectrum(List.of(2.0, 2.0, 2.0, 2.0)).effectiveRank(), 4, 1e-12, 0);
        assertClose("one", new Spectrum(List.of(5.0, 0.0, 0.0)).effectiveRank(), 1, 1e-12, 0);
        Spectrum untrained = spectrum(normal(new Random(1), 8), new float[6], 2, 1);
        assertEquals("0.0 0.0 0.0", untrained.effectiveRank() + " " + untrained.norm() + " " + untrained.largest(), "an adapter that is not trained: B is zero");
        assertTrue(IntStream.range(0, 2).allMatch(i -> untrained.singularValues().get(i) == 0));
    }
}
