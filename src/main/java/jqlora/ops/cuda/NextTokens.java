package jqlora.ops.cuda;

import jqlora.ops.Sampler;
import jqlora.tensor.Tensor;

/**
 * The choice of the token that follows. At random it takes two launches for eight rows: one counts how often each score occurs and decides which scores
 * stay, the other chooses; so the scores are read twice. What they work in stays where it is, since recorded work may use it again.
 */
final class NextTokens implements AutoCloseable {
    private static final String SOURCE = "next_token";
    private static final int THREADS = 1024, CHUNK = 2048, ROWS_AT_ONCE = 8;
    /** Bytes of next_token.cu's {@code Stay}: a count for each bfloat16 number and four numbers more. */
    private static final long STAY = Integer.BYTES * (65_536 + 4L);

    private final CudaStage stage;
    private final DeviceMemory memory;
    private final long stay;

    NextTokens(CudaStage stage, DeviceMemory memory, Transfers transfers) {
        this.stage = stage;
        this.memory = memory;
        stay = memory.take(ROWS_AT_ONCE * STAY);
        transfers.fillZero(stay, ROWS_AT_ONCE * STAY);
    }

    void choose(Tensor ids, Tensor positions, CudaTensor scores, Sampler sampler, Tensor uniform) {
        switch (sampler) {
            case Sampler.Greedy() -> stage.kernel(SOURCE, "highest_token").address(ids).address(positions).matrix(scores).integer(scores.columns()).launch(scores.rows(), THREADS);
            case Sampler.Random random -> choose(ids, positions, scores, random, CudaTensor.of(uniform));
        }
    }

    private void choose(Tensor ids, Tensor positions, CudaTensor scores, Sampler.Random sampler, CudaTensor uniform) {
        long chunks = Math.ceilDiv(scores.columns(), (long) CHUNK), length = uniform.columns();
        float inverse = (float) (1 / sampler.temperature());
        try (CudaTensor parts = stage.doubles(2 * chunks * ROWS_AT_ONCE)) {
            for (long row = 0; row < scores.rows(); row += ROWS_AT_ONCE) {
                int rows = (int) Math.min(ROWS_AT_ONCE, scores.rows() - row);
                long first = scores.address() + Short.BYTES * row * scores.stride();
                stage.kernel(SOURCE, "scores_that_stay").number(stay).number(first).number(scores.stride()).integer(scores.columns()).real(inverse).integer(sampler.topK())
                        .real(sampler.topP()).launch(chunks, rows, THREADS, 1);
                stage.kernel(SOURCE, "random_token").number(CudaTensor.address(ids) + Integer.BYTES * row).number(CudaTensor.address(positions) + Integer.BYTES * row)
                        .number(first).number(scores.stride()).number(uniform.address() + Double.BYTES * row * length).number(stay).address(parts).integer(scores.columns())
                        .integer(length).real(inverse).launch(chunks, rows, THREADS, 1);
            }
        }
    }

    @Override
    public void close() {
        memory.giveBack(stay);
    }
}
