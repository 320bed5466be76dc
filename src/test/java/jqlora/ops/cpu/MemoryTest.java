package jqlora.ops.cpu;

import static jqlora.Assert.assertFails;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import jqlora.ops.MemoryUse;
import jqlora.tensor.DType;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class MemoryTest {
    private final CpuOps ops = CpuOps.create(1);

    @AfterEach
    void close() {
        ops.close();
    }

    @Test
    void useAndPeakAreThoseOfTheTensors() {
        assertEquals(new MemoryUse(0, 0, 0, Long.MAX_VALUE, 0), ops.memory());
        Tensor a = ops.allocate(DType.F32, 100, 7), b = ops.allocate(DType.BF16, 33);
        assertEquals(2800 + 66, ops.memory().bytesInUse());
        a.close();
        assertEquals(66, ops.memory().bytesInUse());
        assertEquals(2866, ops.memory().peakBytes());
        a.close();
        assertEquals(66, ops.memory().bytesInUse(), "a second close does nothing");
        ops.resetPeak();
        assertEquals(66, ops.memory().peakBytes());
        Tensor c = ops.allocate(DType.U8, 1000);
        c.close();
        b.close();
        assertEquals(0, ops.memory().bytesInUse());
        assertEquals(1066, ops.memory().peakBytes());
        assertTrue(ops.memory().reservedBytes() >= 1066, "kept for reuse");
    }

    @Test
    void emptyTensorsAreTensors() {
        try (Tensor empty = ops.allocate(DType.F32, 0, 5)) {
            assertEquals(0, ops.download(empty).toFloats().length);
            assertEquals(0, ops.memory().bytesInUse());
        }
    }

    @Test
    void theSameStepTakesNoMoreMemory() {
        step(300, new Random(1));
        long reserved = ops.memory().reservedBytes();
        for (int i = 0; i < 50; i++) {
            step(300, new Random(1));
            assertEquals(reserved, ops.memory().reservedBytes());
        }
        assertEquals(0, ops.memory().bytesInUse());
    }

    /** Batches of other lengths, as they come: blocks of other sizes do not pile up. */
    @Test
    void stepsOfVaryingSizeTakeLittleMore() {
        for (int seed = 0; seed < 10; seed++) {
            try (CpuOps fresh = CpuOps.create(1)) {
                Random random = new Random(seed);
                double worst = 0;
                for (int i = 0; i < 100; i++) {
                    step(fresh, 50 + random.nextInt(1000), random);
                    worst = Math.max(worst, (double) fresh.memory().reservedBytes() / fresh.memory().peakBytes());
                }
                assertTrue(worst <= 1.3, "seed " + seed + ": reserved " + worst + " times the peak");
            }
        }
    }

    /** Sizes shrink for good: what the peak once needed is given up when something else is asked for. */
    @Test
    void aNewPeakLetsGoOfTheOldReserve() {
        step(4000, new Random(1));
        long reserved = ops.memory().reservedBytes();
        ops.resetPeak();
        step(70, new Random(2));
        MemoryUse use = ops.memory();
        assertTrue(use.peakBytes() < reserved / 20, "the small step's peak is " + use.peakBytes());
        assertTrue(use.reservedBytes() <= 1.3 * use.peakBytes(), "reserved " + use.reservedBytes() + ", peak " + use.peakBytes());
    }

    private void step(int rows, Random random) {
        step(ops, rows, random);
    }

    /** The tensors of a training step: activations that stay until the way back, and others that do not. */
    private static void step(CpuOps ops, int rows, Random random) {
        int hidden = 64, layers = 6;
        Deque<Tensor> kept = new ArrayDeque<>();
        kept.push(ops.allocate(DType.F32, rows, hidden));
        for (int layer = 0; layer < layers; layer++) {
            try (Tensor qkv = ops.allocate(DType.F32, rows, 3 * hidden); Tensor rstd = ops.allocate(DType.F32, rows)) {
                kept.push(ops.allocate(DType.F32, rows, hidden));
                try (Tensor gateUp = ops.allocate(DType.F32, rows, 340); Tensor inner = ops.allocate(DType.F32, rows, 8)) {
                    kept.push(ops.allocate(DType.F32, rows, 170));
                }
            }
        }
        int labelled = 1 + random.nextInt(rows);
        try (Tensor part = ops.allocate(DType.F32, labelled, hidden); Tensor logits = ops.allocate(DType.F32, labelled, 512)) {
            kept.push(ops.allocate(DType.F32, rows, hidden));
        }
        while (!kept.isEmpty()) {
            try (Tensor dGateUp = ops.allocate(DType.F32, rows, 340); Tensor dX = ops.allocate(DType.F32, rows, hidden)) {
                kept.pop().close();
            }
        }
    }

    @Test
    void aClosedTensorIsRefused() {
        Tensor tensor = ops.zeros(DType.F32, 2, 3), open = ops.zeros(DType.F32, 2, 3);
        tensor.close();
        assertFails(IllegalStateException.class, () -> ops.download(tensor), "F32 [2, 3] on cpu", "is closed");
        assertFails(IllegalStateException.class, () -> ops.addInPlace(open, tensor), "is closed");
        assertFails(IllegalStateException.class, () -> ops.copyInto(tensor, open), "is closed");
        open.close();
    }

    @Test
    void aTensorOfAnotherBackendIsRefused() {
        Tensor other = new Tensor() {
            @Override
            public DType dtype() {
                return DType.F32;
            }

            @Override
            public jqlora.tensor.Shape shape() {
                return jqlora.tensor.Shape.of(1);
            }

            @Override
            public void close() { }

            @Override
            public String toString() {
                return "F32 [1] on cuda";
            }
        };
        assertFails(IllegalArgumentException.class, () -> ops.download(other), "cpu", "another backend", "F32 [1] on cuda");
    }

    @Test
    void aClosedBackendGivesNothingAndHoldsNothing() {
        Tensor open = ops.upload(TensorView.ofFloats(new float[] {1, 2}, 2));
        ops.close();
        assertFails(IllegalStateException.class, () -> ops.allocate(DType.F32, 1), "cpu", "the backend is closed");
        assertFails(IllegalStateException.class, () -> ops.download(open));
        assertEquals(0, ops.memory().reservedBytes());
        open.close();
        ops.close();
        assertEquals(new MemoryUse(0, 8, 0, Long.MAX_VALUE, 0), ops.memory());
    }

    /** Tensors that threads make and close at the same time. */
    @Test
    void threadsShareThePool() throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        List<Throwable> failures = java.util.Collections.synchronizedList(new ArrayList<>());
        for (int i = 0; i < 4; i++) {
            int seed = i;
            threads.add(Thread.ofPlatform().uncaughtExceptionHandler((thread, failure) -> failures.add(failure)).start(() -> {
                Random random = new Random(seed);
                for (int j = 0; j < 2000; j++) {
                    float value = random.nextFloat();
                    try (Tensor tensor = ops.upload(TensorView.ofFloats(new float[] {value, value}, 2)); Tensor other = ops.zeros(DType.F32, 1 + random.nextInt(100))) {
                        assertEquals(value, ops.download(tensor).toFloats()[1]);
                    }
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(List.of(), failures);
        assertEquals(0, ops.memory().bytesInUse());
    }
}
