package jqlora.ops.cuda;

import java.util.ArrayList;
import java.util.List;
import jqlora.ops.Dropout;
import jqlora.ops.DropoutMask;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.cuda.Matmul.Mat;

/**
 * The products of adapters whose input is dropped, each with a mask of its own. Where a row is whole groups of eight elements the mask is made within the
 * product; elsewhere the dropped input is written.
 */
final class CudaDropout {
    private static final String SOURCE = "dropout";
    private static final int TILE_ROWS = 16, FEW = 16, MANY = 64, THREADS = 256, MOST_TOGETHER = 4;
    /** Of the gradient of A: columns of a block, the largest part of a rank, and the blocks that keep a device busy. */
    private static final int COLUMNS = 64, RANK_OF_A_BLOCK = 32, BLOCKS = 512;
    private static final long ROWS_AT_ONCE = 128, HIGHEST_RANK = 0xffff;

    private final CudaStage stage;
    private final Matmul matmul;
    private final Transfers transfers;

    CudaDropout(CudaStage stage, Matmul matmul, Transfers transfers) {
        this.stage = stage;
        this.matmul = matmul;
        this.transfers = transfers;
    }

    static boolean isDropped(LinearGroup group, long dropoutKey) {
        return group.isDropped(new Dropout(dropoutKey));
    }

    /** Adapters that follow each other and share a dropout: together, where a row of x is whole groups. */
    private record Run(List<LoraFactors> adapters, int first, long column, DropoutMask mask, boolean together) {
        static List<Run> of(LinearGroup group, CudaTensor x, long dropoutKey) {
            List<LoraFactors> adapters = group.layers().stream().map(LinearWeights::lora).filter(lora -> lora != null).toList();
            List<Run> runs = new ArrayList<>();
            long column = 0;
            for (int i = 0, count; i < adapters.size(); i += count) {
                LoraFactors lora = adapters.get(i);
                boolean together = lora.dropout() > 0 && x.columns() % DropoutMask.GROUP == 0 && lora.r() <= HIGHEST_RANK;
                count = 1;
                while (together && count < MOST_TOGETHER && i + count < adapters.size() && adapters.get(i + count).dropout() == lora.dropout() && adapters.get(i + count).r() <= HIGHEST_RANK) {
                    count++;
                }
                runs.add(new Run(adapters.subList(i, i + count), i, column, new DropoutMask(dropoutKey, lora.module(), lora.dropout()), together));
                for (LoraFactors own : adapters.subList(i, i + count)) {
                    column += own.r();
                }
            }
            return runs;
        }

        LoraFactors only() {
            return adapters.getFirst();
        }

        /** Columns of the adapters' products. */
        long rank() {
            return adapters.stream().mapToLong(LoraFactors::r).sum();
        }

        boolean few() {
            return highest() <= FEW;
        }

        /** Into how many parts of {@code size} the highest rank falls. */
        int parts(int size) {
            return Math.toIntExact(Math.ceilDiv(highest(), (long) size));
        }

        private long highest() {
            return adapters.stream().mapToLong(LoraFactors::r).max().orElseThrow();
        }

        /** Adds ranks and modules to a kernel's arguments, as dropout.cu has them. */
        Kernel describe(Kernel kernel) {
            long ranks = 0;
            long[] modules = new long[2];
            for (int i = 0; i < adapters.size(); i++) {
                ranks |= adapters.get(i).r() << 16 * i;
                modules[i / 2] |= (adapters.get(i).module() & 0xffffffffL) << 32 * (i % 2);
            }
            return kernel.number(ranks).number(modules[0]).number(modules[1]);
        }
    }

    /** Overwrites {@code room} with what the adapters make of x.
     * @param factors A of the adapters one below the other */
    void inner(CudaTensor x, Mat room, LinearGroup group, Mat factors, long dropoutKey) {
        transfers.fillZero(room.address(), room.stride(), room.columns(), x.rows());
        for (Run run : Run.of(group, x, dropoutKey)) {
            Mat out = room.columns(run.column, run.rank()), a = factors.rows(run.column, run.rank());
            if (run.together) {
                boolean few = run.few();
                int parts = few ? 1 : run.parts(MANY);
                Kernel kernel = stage.kernel(SOURCE, few ? "dropped_product" : "dropped_product_of_many").number(out.address()).number(out.stride()).matrix(x).number(a.address())
                        .number(a.stride()).number(x.rows()).integer(x.columns()).number(dropoutKey).integer(run.mask.threshold()).real(run.mask.scale()).integer(parts);
                run.describe(kernel).launch(Math.ceilDiv(x.rows(), (long) TILE_ROWS), parts * run.adapters.size(), few ? 2 * THREADS : THREADS, 1);
            } else if (run.only().dropout() == 0) {
                matmul.multiply(Mat.of(x), false, a, true, out);
            } else {
                try (CudaTensor dropped = dropped(x, run.only(), dropoutKey)) {
                    matmul.multiply(Mat.of(dropped), false, a, true, out);
                }
            }
        }
    }

    /** Room for a bit for each element that an adapter of the group reads, which tells {@link #addToGradientsOfA} what is dropped. */
    CudaTensor drops(CudaTensor dX, LinearGroup group) {
        return stage.bytes(bytesOfDrops(dX.shape().size(), group));
    }

    static long bytesOfDrops(long elements, LinearGroup group) {
        return group.layers().stream().filter(linear -> linear.lora() != null).count() * Math.ceilDiv(elements, (long) DropoutMask.GROUP);
    }

    /** Adds the adapters' part of the input's gradient to {@code dX}, and writes {@code drops}. */
    void addToInputGradient(CudaTensor dX, Mat dInner, LinearGroup group, Mat factors, long dropoutKey, CudaTensor drops) {
        for (Run run : Run.of(group, dX, dropoutKey)) {
            Mat part = dInner.columns(run.column, run.rank()), a = factors.rows(run.column, run.rank());
            if (run.together) {
                Kernel kernel = stage.kernel(SOURCE, "add_dropped_products").matrix(dX).number(part.address()).number(part.stride()).number(a.address()).number(a.stride()).number(dX.rows())
                        .integer(dX.columns()).number(dropoutKey).integer(run.mask.threshold()).real(run.mask.scale()).number(bits(drops, run, dX)).integer(run.adapters.size());
                run.describe(kernel).launch(Math.ceilDiv(dX.columns(), 256L), Math.toIntExact(Math.ceilDiv(dX.rows(), 32L)), THREADS, 1);
            } else if (run.only().dropout() == 0) {
                matmul.multiplyAdd(part, false, a, false, Mat.of(dX), Mat.of(dX));
            } else {
                try (CudaTensor through = stage.matrix(dX.rows(), dX.columns())) {
                    matmul.multiply(part, false, a, false, Mat.of(through));
                    mask("add_dropped", dX, through, run.only(), dropoutKey);
                }
            }
        }
    }

    private static long bits(CudaTensor drops, Run run, CudaTensor x) {
        return drops == null ? 0 : drops.address() + run.first * (x.shape().size() / DropoutMask.GROUP);
    }

    /** Adds to the gradient of every A that is trained.
     * @param drops as {@link #addToInputGradient} wrote it; null to make the masks again */
    void addToGradientsOfA(Mat dInner, CudaTensor x, LinearGroup group, long dropoutKey, CudaTensor drops) {
        for (Run run : Run.of(group, x, dropoutKey)) {
            Mat part = dInner.columns(run.column, run.rank());
            if (run.together) {
                addTogether(part, x, run, dropoutKey, drops);
            } else if (run.only().a().isTrained()) {
                Mat gradient = CudaLinear.floats(run.only().a().gradient());
                try (CudaTensor dropped = run.only().dropout() == 0 ? null : dropped(x, run.only(), dropoutKey)) {
                    matmul.multiplyAdd(part, true, Mat.of(dropped == null ? x : dropped), false, gradient, gradient);
                }
            }
        }
    }

    private static long rowsOfPart(long rows, long blocks) {
        long most = Math.ceilDiv(rows, ROWS_AT_ONCE);
        return Math.ceilDiv(most, Math.clamp(BLOCKS / blocks, 1, most)) * ROWS_AT_ONCE;
    }

    /** Floats that {@link #addToGradientsOfA} takes on its way for adapters of one dropout. */
    static long floatsOfSums(LinearGroup group, long rows) {
        long highest = group.layers().stream().filter(linear -> linear.lora() != null).mapToLong(linear -> linear.lora().r()).max().orElseThrow(), ins = group.layers().getFirst().weight().inFeatures();
        long adapters = group.layers().stream().filter(linear -> linear.lora() != null).count(), parts = highest <= FEW ? 1 : Math.ceilDiv(highest, (long) RANK_OF_A_BLOCK);
        return Math.ceilDiv(rows, rowsOfPart(rows, Math.ceilDiv(ins, (long) COLUMNS) * parts * adapters)) * group.rank() * ins;
    }

    private void addTogether(Mat dInner, CudaTensor x, Run run, long dropoutKey, CudaTensor drops) {
        boolean few = run.few();
        int parts = few ? 1 : run.parts(RANK_OF_A_BLOCK);
        long blocks = Math.ceilDiv(x.columns(), (long) COLUMNS) * parts * run.adapters.size(), rowsOfPart = rowsOfPart(x.rows(), blocks), stride = run.rank() * x.columns();
        int sumCount = Math.toIntExact(Math.ceilDiv(x.rows(), rowsOfPart));
        try (CudaTensor sums = stage.floats(sumCount, stride)) {
            Kernel kernel = stage.kernel(SOURCE, few ? "dropped_gradient" : "dropped_gradient_of_many").address(sums).number(dInner.address()).number(dInner.stride()).matrix(x).number(x.rows())
                    .integer(x.columns()).number(dropoutKey).integer(run.mask.threshold()).number(rowsOfPart).number(bits(drops, run, x)).integer(parts);
            run.describe(kernel).launch(blocks, sumCount, THREADS, 1);
            long at = sums.address();
            for (LoraFactors lora : run.adapters) {
                long size = lora.r() * x.columns();
                if (lora.a().isTrained()) {
                    stage.kernel(SOURCE, "add_parts").address(lora.a().gradient()).number(at).integer(sumCount).number(stride).number(size).real(run.mask.scale()).launchFor(size);
                }
                at += 4 * size;
            }
        }
    }

    private CudaTensor dropped(CudaTensor x, LoraFactors lora, long dropoutKey) {
        CudaTensor copy = stage.matrix(x.rows(), x.columns());
        mask("dropped", copy, x, lora, dropoutKey);
        return copy;
    }

    private void mask(String kernel, CudaTensor out, CudaTensor x, LoraFactors lora, long dropoutKey) {
        long elements = x.shape().size();
        DropoutMask mask = new DropoutMask(dropoutKey, lora.module(), lora.dropout());
        stage.kernel(SOURCE, kernel).matrix(out).matrix(x).number(elements).number(x.columns()).number(dropoutKey).number(lora.module()).integer(mask.threshold())
                .real(mask.scale()).launchFor(Math.ceilDiv(elements, (long) DropoutMask.GROUP));
    }
}
