package jqlora.ops.cuda;

import jqlora.ops.Sampler;
import jqlora.tensor.Tensor;

/** The choice of the token that follows. */
final class NextTokens {
    private static final String SOURCE = "next_token";
    private static final int THREADS = 1024;

    private NextTokens() { }

    static void choose(CudaOps ops, Tensor ids, Tensor positions, CudaTensor scores, Sampler sampler, Tensor uniform) {
        switch (sampler) {
            case Sampler.Greedy() -> ops.kernel(SOURCE, "highest_token").address(ids).address(positions).matrix(scores).integer(scores.columns()).launch(scores.rows(), THREADS);
            case Sampler.Random(double temperature, int topK, double topP) -> ops.kernel(SOURCE, "random_token").address(ids).address(positions).matrix(scores).address(uniform)
                    .integer(scores.columns()).integer(uniform.shape().dim(1)).real(temperature).integer(topK).real(topP).launch(scores.rows(), THREADS);
        }
    }
}
