package jqlora.ops.cuda;

import java.util.List;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.LoraFactors;
import jqlora.ops.Parameter;
import jqlora.ops.Weight;
import jqlora.quant.FourBitType;
import jqlora.tensor.DType;

/**
 * Linear layers of a few rows, as when tokens are made one after the other: the time goes into reading the weights, which are read once, as they are
 * stored. A launch takes four rows and up to four layers of one kind; one before it makes what the adapters' A gives.
 */
final class CudaFewRows {
    /** Rows up to which this is quicker than decoding the weights for a product. */
    static final int MOST_ROWS = 8;

    private static final String SOURCE = "few_rows";
    private static final int ROWS_AT_ONCE = 4, LAYERS_AT_ONCE = 4, TILE = 16, THREADS = 256;
    private static final int SPAN = 64, VECTOR = 8;

    /** The source's table, 256 codes for 32 lanes, and five chunks of 1280 bytes for each of eight warps. */
    private static final int SHARED_OF_FOUR_BIT = 256 * 128 + 8 * 5 * 1280;

    /** A kernel, how many of its blocks a multiprocessor takes, their shared memory, and the code where there is one. */
    private record Way(String kernel, int blocks, int shared, FourBitType code) { }

    private static final Way BF16 = new Way("bf16_few_rows", 3, 0, null), ANY_NUMBERS = new Way("any_few_rows", 8, 0, null);

    private final CudaStage stage;
    private final CudaDevice device;
    private final FourBitDecoder fourBit;

    CudaFewRows(CudaStage stage, CudaDevice device, FourBitDecoder fourBit) {
        this.stage = stage;
        this.device = device;
        this.fourBit = fourBit;
    }

    /** As {@link CudaLinear#forward} without dropout. */
    CudaTensor forward(CudaTensor x, LinearGroup group, CudaTensor inner, CudaTensor added) {
        long outs = 0;
        for (LinearWeights linear : group.layers()) {
            outs += linear.weight().outFeatures();
        }
        CudaTensor y = stage.matrix(x.rows(), outs);
        int rank = 0;
        long column = 0;
        for (int from = 0, to; from < group.layers().size(); from = to) {
            Way way = way(group.layers().get(from));
            int ranks = 0;
            long columns = 0;
            for (to = from; to < group.layers().size() && to - from < LAYERS_AT_ONCE && way.equals(way(group.layers().get(to))); to++) {
                ranks += rank(group.layers().get(to));
                columns += group.layers().get(to).weight().outFeatures();
            }
            for (int row = 0; row < x.rows(); row += ROWS_AT_ONCE) {
                int rows = (int) Math.min(ROWS_AT_ONCE, x.rows() - row);
                if (ranks > 0) {
                    work("inner_few_rows", y, x, inner, rank, added, row, rows, way, group.layers().subList(from, to), column).launch(ranks, THREADS);
                }
                Kernel kernel = work(way.kernel, y, x, inner, rank, added, row, rows, way, group.layers().subList(from, to), column);
                kernel.shared(way.shared).launch(Math.min(tiles(group.layers().subList(from, to)), way.blocks * device.multiprocessors()), THREADS);
            }
            rank += ranks;
            column += columns;
        }
        return y;
    }

    private static int rank(LinearWeights linear) {
        return linear.lora() == null ? 0 : (int) linear.lora().r();
    }

    private static int tiles(List<LinearWeights> layers) {
        int tiles = 0;
        for (LinearWeights linear : layers) {
            tiles += Math.toIntExact(Math.ceilDiv(linear.weight().outFeatures(), (long) TILE));
        }
        return tiles;
    }

    private static Way way(LinearWeights linear) {
        long ins = linear.weight().inFeatures();
        return switch (linear.weight()) {
            case Weight.FourBit weight -> ins % SPAN == 0 && weight.format().blockSize() >= SPAN
                    ? new Way(weight.nestedAbsmax() == null ? "four_bit_few_rows" : "four_bit_nested_few_rows", 2, SHARED_OF_FOUR_BIT, weight.format().type())
                    : new Way(ANY_NUMBERS.kernel, ANY_NUMBERS.blocks, 0, weight.format().type());
            case Weight.Dense(Parameter parameter) -> parameter.value().dtype() == DType.BF16 && ins % VECTOR == 0 ? BF16 : ANY_NUMBERS;
        };
    }

    /** The arguments in the order of the source's {@code Work} and {@code Layer}. */
    private Kernel work(String name, CudaTensor y, CudaTensor x, CudaTensor inner, int firstInner, CudaTensor added, int row, int rows, Way way, List<LinearWeights> layers, long column) {
        Kernel kernel = stage.kernel(SOURCE, name).number(x.address() + 2L * row * x.stride()).number(x.stride()).number(y.address() + 2L * row * y.stride()).number(y.stride());
        if (added == null) {
            kernel.number(0).number(0);
        } else {
            kernel.number(added.address() + 2L * row * added.stride()).number(added.stride());
        }
        if (inner == null) {
            kernel.number(0).number(0);
        } else {
            kernel.number(inner.address() + 2 * (row * inner.stride() + firstInner)).number(inner.stride());
        }
        kernel.number(way.code == null ? 0 : fourBit.tableAt(way.code)).number(fourBit.map()).integer(rows).integer(x.columns()).integer(layers.size()).integer(tiles(layers));
        int innerColumn = 0;
        long firstTile = 0;
        for (LinearWeights linear : layers) {
            layer(kernel, linear, column, firstTile, innerColumn);
            innerColumn += rank(linear);
            firstTile += Math.ceilDiv(linear.weight().outFeatures(), (long) TILE);
            column += linear.weight().outFeatures();
        }
        return kernel;
    }

    private static void layer(Kernel kernel, LinearWeights linear, long column, long firstTile, int innerColumn) {
        LoraFactors lora = linear.lora();
        CudaTensor bias = linear.bias() == null ? null : CudaTensor.of(linear.bias().value());
        long stride = 0;
        float offset = 0;
        int blockShift = 0, type;
        switch (linear.weight()) {
            case Weight.FourBit weight -> {
                kernel.address(weight.codes()).address(weight.absmax()).address(weight.nestedAbsmax());
                offset = weight.offset();
                blockShift = Integer.numberOfTrailingZeros(weight.format().blockSize());
                type = CudaTensor.type(weight.format().dtype());
            }
            case Weight.Dense(Parameter parameter) -> {
                CudaTensor value = CudaTensor.of(parameter.value());
                kernel.number(value.address()).number(0).number(0);
                stride = value.stride();
                type = value.type();
            }
        }
        kernel.address(bias).address(lora == null ? null : lora.a().value()).address(lora == null ? null : lora.b().value()).number(stride)
                .number(linear.weight().outFeatures()).number(column).integer(firstTile).real(offset).real(lora == null ? 0f : lora.scaling()).integer(rank(linear))
                .integer(innerColumn).integer(blockShift).integer(type).integer(bias == null ? 0 : bias.type());
    }
}
