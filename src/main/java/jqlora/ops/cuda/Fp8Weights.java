package jqlora.ops.cuda;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import jqlora.ops.LinearGroup;
import jqlora.ops.LinearWeights;
import jqlora.ops.Weight;
import org.bytedeco.cuda.cudart.CUstream_st;

/**
 * 4-bit weights decoded to e4m3 with one scale for each row of what is decoded: a row of W, for the forward, or a column of W, for the backward, which
 * needs W transposed. The scales of a frozen weight are made once, out of the absmax values of its blocks.
 */
final class Fp8Weights implements AutoCloseable {
    private static final String SOURCE = "fp8";
    /** Columns of a weight that lie in one quantization block, whatever its size: inputs are multiples of it. */
    static final int SEGMENT = 64;
    private static final int ROWS_OF_A_TILE = 128, TILE = 16;
    private static final int MAJOR_OF_FP8 = 8, MINOR_OF_FP8 = 9;

    private final CudaDevice device;
    private final DeviceMemory memory;
    private final Kernels kernels;
    private final FourBitDecoder fourBit;
    private final Map<List<CudaTensor>, Scales> scales = new HashMap<>();

    /** Addresses of F32 [outs] and F32 [ins]. */
    record Scales(long ofRows, long ofColumns) { }

    Fp8Weights(CudaDevice device, DeviceMemory memory, Kernels kernels, FourBitDecoder fourBit) {
        this.device = device;
        this.memory = memory;
        this.kernels = kernels;
        this.fourBit = fourBit;
    }

    /** @throws CudaException if a device of this compute capability has no FP8 products */
    static void require(String device, int major, int minor) {
        if (major < MAJOR_OF_FP8 || major == MAJOR_OF_FP8 && minor < MINOR_OF_FP8) {
            throw new CudaException("CUDA: products in FP8 need compute capability " + MAJOR_OF_FP8 + "." + MINOR_OF_FP8 + " or more, " + device + " has " + major + "." + minor
                    + "; use " + CudaOptions.Products.BF16);
        }
    }

    /** Whether the weights of {@code group} are in 4 bits and of sizes that products in e4m3 take; others keep to bfloat16. */
    static boolean take(LinearGroup group) {
        for (LinearWeights linear : group.layers()) {
            if (!(linear.weight() instanceof Weight.FourBit weight) || weight.inFeatures() % SEGMENT != 0 || weight.outFeatures() % TILE != 0
                    || weight.format().blockSize() < SEGMENT) {
                return false;
            }
        }
        return true;
    }

    /** @param codes of the group, by identity */
    Scales scales(List<CudaTensor> codes, LinearGroup group, long outs, long ins) {
        Scales known = scales.get(codes);
        if (known != null) {
            return known;
        }
        Scales made = new Scales(memory.take(4 * outs), memory.take(4 * ins));
        long row = 0;
        for (LinearWeights linear : group.layers()) {
            Weight.FourBit weight = (Weight.FourBit) linear.weight();
            int rows = Math.toIntExact(weight.outFeatures()), columns = Math.toIntExact(weight.inFeatures()), shift = FourBitDecoder.blockShift(weight.format());
            fourBit.absmax(kernels.get(SOURCE, "weight_row_scales").number(made.ofRows + 4 * row), weight).integer(rows).integer(columns).integer(shift)
                    .launch(Math.ceilDiv(rows, 8), 256);
            fourBit.absmax(kernels.get(SOURCE, "weight_column_scales").number(made.ofColumns), weight).integer(rows).integer(columns).integer(shift).integer(row == 0 ? 1 : 0)
                    .launch(columns / SEGMENT, 256);
            row += rows;
        }
        device.decodeAfterThis();
        scales.put(codes, made);
        return made;
    }

    /** [outs, ins] at {@code out}, or [ins, outs]; the scales must be on {@code stream} or before it. */
    void decode(LinearGroup group, Scales scales, boolean transposed, long out, long outs, CUstream_st stream) {
        long row = 0;
        for (LinearWeights linear : group.layers()) {
            Weight.FourBit weight = (Weight.FourBit) linear.weight();
            long rows = weight.outFeatures(), columns = weight.inFeatures();
            int shift = FourBitDecoder.blockShift(weight.format());
            if (transposed) {
                fourBit.source(kernels.get(SOURCE, "four_bit_to_e4m3_transposed").number(out + row).number(outs).number(scales.ofColumns), weight).integer(rows).integer(columns)
                        .integer(shift).on(stream).launch(columns / SEGMENT, Math.toIntExact(Math.ceilDiv(rows, (long) ROWS_OF_A_TILE)), 256, 1);
            } else {
                long chunks = rows * columns / TILE;
                fourBit.source(kernels.get(SOURCE, "four_bit_to_e4m3").number(out + row * columns).number(scales.ofRows + 4 * row), weight).integer(chunks).integer(columns / TILE)
                        .integer(shift).on(stream).launch(Math.ceilDiv(chunks, 512L), 256);
            }
            row += rows;
        }
    }

    /** Forgets the scales of weights that are closed. */
    void forgetClosed() {
        scales.entrySet().removeIf(entry -> {
            boolean closed = entry.getKey().stream().anyMatch(tensor -> tensor.address() == 0);
            if (closed) {
                giveBack(entry.getValue());
            }
            return closed;
        });
    }

    private void giveBack(Scales made) {
        memory.giveBack(made.ofRows);
        memory.giveBack(made.ofColumns);
    }

    @Override
    public void close() {
        scales.values().forEach(this::giveBack);
        scales.clear();
    }
}
