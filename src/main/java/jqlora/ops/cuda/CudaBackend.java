package jqlora.ops.cuda;

import java.io.IOException;
import java.util.List;
import jqlora.ops.AdamW8bitState;
import jqlora.ops.AdamWState;
import jqlora.ops.AdamWStep;
import jqlora.ops.AttentionShape;
import jqlora.ops.Dropout;
import jqlora.ops.Heads;
import jqlora.ops.Input;
import jqlora.ops.KvCache;
import jqlora.ops.Link;
import jqlora.ops.LoraFactors;
import jqlora.ops.MemoryUse;
import jqlora.ops.MergedStorage;
import jqlora.ops.Ops;
import jqlora.ops.OutputHead;
import jqlora.ops.Parameter;
import jqlora.ops.Rehearsal;
import jqlora.ops.Sampler;
import jqlora.ops.Sequences;
import jqlora.ops.Weight;
import jqlora.quant.FourBitFormat;
import jqlora.quant.QuantizedTensor;
import jqlora.tensor.ByteSink;
import jqlora.tensor.DType;
import jqlora.tensor.Shape;
import jqlora.tensor.Tensor;
import jqlora.tensor.TensorView;

/**
 * The parts of {@link Ops} on an NVIDIA GPU, put together: bfloat16 activations, float32 sums, adapters and gradients. Operations are
 * put on a stream and return at once; only {@code download} waits. Not for several threads at once; any thread may call.
 */
final class CudaBackend implements Ops {
    /** Part of the free memory that is left to the driver and the libraries. */
    private static final int LEFT_FREE = 20;

    private final CudaDevice device;
    private final DeviceMemory memory;
    private final Kernels kernels;
    private final Transfers transfers;
    private final HostTensors hostTensors;
    private final FourBitDecoder fourBit;
    private final Matmul matmul;
    private final Operands operands;
    private final CudaStage stage;
    private final CudaRows rows;
    private final CudaInputs inputs;
    private final CudaHeads heads;
    private final CudaAttention attention;
    private final NextTokens nextTokens;
    private final CudaLoss loss;
    private final CudaOptimizer optimizer;
    private final CudaOptions.Products products;
    private final CudaMerge merge;

    CudaBackend(CudaOptions options, CudaDevice device, boolean scalesApart) {
        this.device = device;
        long budget = options.budgetBytes() > 0 ? options.budgetBytes() : device.freeBytes() / LEFT_FREE * (LEFT_FREE - 1);
        memory = new DeviceMemory(device, budget);
        kernels = new Kernels(device, new CubinCache(Nvrtc.open(options.libraries()), options.cache(),
                device.name() + " " + device.driverVersion()));
        transfers = new Transfers(device);
        hostTensors = new HostTensors(device, memory);
        fourBit = new FourBitDecoder(memory, kernels, transfers);
        matmul = new Matmul(device, memory, options.tuning());
        operands = new Operands(device, memory, kernels, fourBit, options.residentBytes());
        products = options.products();
        stage = new CudaStage(memory, kernels, transfers, products == CudaOptions.Products.FP8);
        CudaDropout dropout = new CudaDropout(stage, matmul, transfers);
        CudaFewRows fewRows = new CudaFewRows(stage, device, fourBit);
        Fp8Linear fp8 = products != CudaOptions.Products.FP8 ? null
                : new Fp8Linear(stage, memory, matmul, operands, dropout, scalesApart || !matmul.scalesRows());
        rows = new CudaRows(stage);
        inputs = new CudaInputs(stage, new CudaLinear(stage, matmul, operands, fewRows, dropout, fp8));
        heads = new CudaHeads(stage, inputs.norms());
        attention = new CudaAttention(stage, device, memory, transfers, options.attention());
        nextTokens = new NextTokens(stage, memory, transfers);
        loss = new CudaLoss(stage, new CudaLinear(stage, matmul, operands, fewRows, dropout, null), rows, transfers);
        optimizer = new CudaOptimizer(stage, device, memory, transfers, hostTensors);
        merge = new CudaMerge(stage, memory, transfers, fourBit);
    }

    @Override
    public String name() {
        return "cuda";
    }

    @Override
    public String description() {
        return device + inFp8();
    }

    @Override
    public String arithmetic() {
        return computeType() + inFp8();
    }

    private String inFp8() {
        return products == CudaOptions.Products.FP8 ? ", products with 4-bit weights in FP8 (e4m3)" : "";
    }

    @Override
    public DType computeType() {
        return DType.BF16;
    }

    @Override
    public MemoryUse memory() {
        return memory.use(hostTensors.reservedBytes());
    }

    @Override
    public void resetPeak() {
        memory.resetPeak();
    }

    @Override
    public Rehearsal rehearsal() {
        return new Rehearsal(CudaAccount.of(memory, hostTensors.reservedBytes(), operands, attention::needs,
                products == CudaOptions.Products.FP8, stage.room()));
    }

    @Override
    public void close() {
        device.synchronize();
        optimizer.close();
        nextTokens.close();
        attention.close();
        operands.close();
        matmul.close();
        fourBit.close();
        hostTensors.close();
        transfers.close();
        kernels.close();
        memory.close();
        device.close();
    }

    CudaDevice device() {
        return device;
    }

    /** For benchmarks of parts. */
    CudaStage stage() {
        return stage;
    }

    /** How many plans of attention cuDNN has compiled. */
    int attentionPlans() {
        return attention.plans();
    }

    // ---- memory

    @Override
    public Tensor allocate(DType dtype, long... dims) {
        return stage.allocate(dtype, dims);
    }

    @Override
    public Tensor upload(TensorView host) {
        CudaTensor tensor = CudaTensor.allocate(memory, host.dtype(), host.shape(), 0);
        transfers.upload(host, tensor);
        return tensor;
    }

    @Override
    public CudaTensor upload(int[] values) {
        return stage.upload(values);
    }

    @Override
    public Weight.FourBit upload(QuantizedTensor host) {
        Weight.FourBit weight = Ops.super.upload(host);
        device.decodeAfterThis();
        return weight;
    }

    @Override
    public Weight.FourBit quantize(TensorView host, FourBitFormat format) {
        Weight.FourBit weight = fourBit.encode(host, format);
        device.decodeAfterThis();
        return weight;
    }

    @Override
    public TensorView download(Tensor tensor) {
        return transfers.download(CudaTensor.of(tensor));
    }

    @Override
    public void download(Tensor tensor, ByteSink sink) throws IOException {
        transfers.download(CudaTensor.of(tensor), sink);
    }

    @Override
    public Weight merge(String layer, Weight base, LoraFactors factors, MergedStorage storage) {
        Weight merged = merge.merge(layer, base, factors, storage);
        device.decodeAfterThis();
        return merged;
    }

    @Override
    public Tensor toFloat(Weight weight) {
        CudaTensor floats = stage.floats(weight.outFeatures(), weight.inFeatures());
        switch (weight) {
            case Weight.FourBit packed -> fourBit.decode(packed, floats);
            case Weight.Dense(Parameter parameter) -> rows.convert(floats, CudaTensor.of(parameter.value()));
        }
        return floats;
    }

    @Override
    public void offload(List<Tensor> tensors) {
        hostTensors.offload(tensors);
    }

    @Override
    public void fetch(List<Tensor> tensors) {
        hostTensors.fetch(tensors);
    }

    @Override
    public void copyInto(Tensor target, Tensor source) {
        stage.copyInto(target, source);
    }

    @Override
    public void fillZero(Tensor tensor) {
        transfers.fillZero(CudaTensor.toChange(tensor));
    }

    @Override
    public void addInPlace(Tensor x, float factor, Tensor y) {
        rows.add(x, factor, y);
    }

    // ---- embedding

    @Override
    public Tensor embedding(Tensor table, Tensor ids, int first, float scale) {
        CudaTensor y = stage.matrix(ids.shape().size(), table.shape().dim(1));
        rows.gather(y, CudaTensor.of(table), CudaTensor.of(ids), first, scale);
        return y;
    }

    @Override
    public void embeddingBackward(Tensor dTable, Tensor dY, Tensor ids, int first, float scale) {
        rows.addTo(CudaTensor.of(dTable), CudaTensor.of(dY), CudaTensor.of(ids), first, scale);
    }

    // ---- layers

    @Override
    public Tensor compute(Input input) {
        return inputs.compute(input);
    }

    @Override
    public void computeBackward(Tensor dX, Tensor dY, Input input) {
        inputs.backward(dX, dY, input);
    }

    @Override
    public Tensor linear(Link link, Tensor added, Dropout dropout) {
        return inputs.linear(link, added, dropout);
    }

    @Override
    public void linearBackward(Tensor dX, Tensor dY, List<Link> chain, Dropout dropout) {
        inputs.linearBackward(dX, dY, chain, dropout);
    }

    @Override
    public Tensor heads(Tensor fused, Heads heads, Tensor rstd) {
        return this.heads.forward(heads.isInPlace() ? CudaTensor.toChange(fused) : CudaTensor.of(fused), heads, rstd);
    }

    @Override
    public Tensor headsBackward(Tensor dQkv, Tensor fused, Heads heads, Tensor rstd) {
        return this.heads.backward(CudaTensor.toChange(dQkv), CudaTensor.orNull(fused), heads, rstd);
    }

    @Override
    public Tensor attention(Tensor qkv, AttentionShape shape, Sequences sequences, Tensor logSumExp) {
        return attention.forward(CudaTensor.of(qkv), shape, sequences, logSumExp);
    }

    @Override
    public void attentionBackward(Tensor dQkv, Tensor dY, Tensor qkv, Tensor y, Tensor logSumExp, AttentionShape shape,
            Sequences sequences) {
        attention.backward(CudaTensor.toChange(dQkv), CudaTensor.of(dY), CudaTensor.of(qkv), CudaTensor.of(y), logSumExp, shape, sequences);
    }

    @Override
    public Tensor cachedAttention(Tensor qkv, AttentionShape shape, Sequences sequences, KvCache cache, int layer) {
        return attention.cached(CudaTensor.of(qkv), shape, sequences, cache, layer);
    }

    // ---- decoding

    @Override
    public Tensor cachedAttention(Tensor qkv, AttentionShape shape, Tensor positions, KvCache cache, int layer) {
        return attention.cached(CudaTensor.of(qkv), shape, positions, cache, layer);
    }

    @Override
    public void nextTokens(Tensor ids, Tensor positions, Tensor logits, Sampler sampler, Tensor uniform) {
        nextTokens.choose(ids, positions, CudaTensor.of(logits), sampler, uniform);
    }

    @Override
    public CudaRepetition repeat(int times, Tensor watched, Runnable operations) {
        return new CudaRepetition(device, memory, times, CudaTensor.of(watched), operations);
    }

    // ---- loss and optimizer

    @Override
    public Tensor scores(Tensor x, OutputHead head) {
        return loss.scores(CudaTensor.of(x), head);
    }

    @Override
    public void headLoss(Tensor x, OutputHead head, int[] targets, double scale, Tensor lossSum, Tensor dX) {
        loss.headLoss(CudaTensor.of(x), head, targets, (float) scale, lossSum, dX == null ? null : CudaTensor.toChange(dX));
    }

    @Override
    public void gradientNorm(List<Parameter> parameters, Tensor norm) {
        optimizer.gradientNorm(parameters, norm);
    }

    @Override
    public void adamW(List<AdamWState> states, AdamWStep step, Tensor norm) {
        optimizer.adamW(states, step, norm);
    }

    @Override
    public void adamW8bit(List<AdamW8bitState> states, AdamWStep step, Tensor norm) {
        optimizer.adamW8bit(states, step, norm);
    }

    @Override
    public void zeroGradients(List<Parameter> parameters) {
        optimizer.zeroGradients(parameters);
    }
}
