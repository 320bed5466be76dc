"""Tokens a second of one QLoRA training step of transformers, peft and bitsandbytes on a GPU, beside GpuStepBench: random weights of a Llama's shape in NF4 with double
quantization, LoRA r = 16 on the seven projections, bfloat16 autocast, all tokens labelled; forward, backward, clip, AdamW, loss and norm read by the host. A setting
that does not fit the memory is recorded as such. Then, if --parts names them: an answer of the adapted model, merge_and_unload, and bitsandbytes' codec by itself.
"""
import gc
import os
import time

import rows

PROJECTIONS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
REPEATS = 40


def arguments(argv=None):
    parser = rows.parser(__doc__)
    parser.add_argument('--checkpointing', choices=['true', 'false'], default='false', help='gradient checkpointing of every layer')
    parser.add_argument('--optimizer', choices=['torch', 'bitsandbytes'], default='torch', help="AdamW with 32-bit moments: torch's fused one, or bitsandbytes'")
    parser.add_argument('--parts', type=rows.words('step', 'generate', 'merge', 'quantize'), default='step', help='what is measured: step, generate, merge, quantize, with commas')
    parser.add_argument('--prompt', type=int, default=128, help='generate: tokens of the prompt')
    parser.add_argument('--tokens', type=int, default=256, help='generate: tokens of the answer')
    return parser.parse_args(argv)


def random_model(shape, device):
    """A transformers Llama whose weights are made and quantized on the device, one at a time."""
    hidden, intermediate, layers, heads, key_heads, head, vocabulary = shape
    config = transformers.LlamaConfig(
        hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=key_heads, head_dim=head,
        vocab_size=vocabulary, max_position_embeddings=131072, rope_parameters={'rope_type': 'default', 'rope_theta': 500000.0}, tie_word_embeddings=False)
    with torch.device('meta'):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation='sdpa')
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != 'lm_head':
            made = bitsandbytes.nn.Linear4bit(module.in_features, module.out_features, bias=False, compute_dtype=torch.bfloat16, compress_statistics=True, quant_type='nf4', device='meta')
            numbers = random(module.weight.shape, device)
            made.weight = bitsandbytes.nn.Params4bit(numbers, requires_grad=False, compress_statistics=True, quant_type='nf4', module=made).to(device)  # quantizes
            model.set_submodule(name, made)
    for name, parameter in list(model.named_parameters()):
        if parameter.is_meta:
            owner, _, last = name.rpartition('.')
            numbers = torch.ones(parameter.shape, device=device, dtype=torch.bfloat16) if 'norm' in name else random(parameter.shape, device)
            setattr(model.get_submodule(owner), last, torch.nn.Parameter(numbers, requires_grad=False))
    with torch.device(device):
        model.model.rotary_emb = type(model.model.rotary_emb)(config)
    # what from_pretrained sets for a model in 4 bits; peft looks at both
    model.is_loaded_in_4bit = model.is_quantized = True
    model.config.use_cache = False
    return model


def random(shape, device):
    return 0.02 * torch.randn(shape, device=device, dtype=torch.bfloat16)


def adapted(model, checkpointing):
    # use_reentrant=False is what transformers' Trainer passes
    model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=checkpointing, gradient_checkpointing_kwargs={'use_reentrant': False})
    return peft.get_peft_model(model, peft.LoraConfig(task_type='CAUSAL_LM', r=16, lora_alpha=32, lora_dropout=0.0, target_modules=PROJECTIONS))


def stepper(model, args, batch, length):
    """A function that does one step on the same tokens, and returns loss and gradient norm."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if args.optimizer == 'torch':
        optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.0, fused=True)  # the Trainer's default
    else:
        optimizer = bitsandbytes.optim.AdamW32bit(trained, lr=1e-5, weight_decay=0.0)
    ids = torch.randint(model.config.vocab_size, (batch, length), device=args.device, generator=torch.Generator(args.device).manual_seed(1))

    def step():
        with torch.autocast(args.device, torch.bfloat16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 0.3)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step.last = loss.item(), norm.item()
    return step


def measure_steps(model, args, clock, out):
    model.train()
    checkpointing = args.checkpointing == 'true'
    for batch, length in args.settings:
        if args.device == 'cuda':
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        began, about = time.time(), {'checkpointing': checkpointing, 'optimizer': args.optimizer}
        try:
            step = stepper(model, args, batch, length)
            began, times = clock.sustained(step, args.seconds)
        except torch.OutOfMemoryError as full:
            out.write('step', began, setting=f'{batch}x{length}', out_of_memory=True, message=str(full), **about)
        else:
            loss, norm = step.last
            memory = {'peak_bytes': torch.cuda.max_memory_allocated(), 'reserved_bytes': torch.cuda.max_memory_reserved()} if args.device == 'cuda' else {}
            out.write('step', began, **rows.step_figures(times, batch, length), **memory, loss=loss, norm=norm, **about)
        step = None  # after the exception, which held the frames of the step and so its tensors
        model.zero_grad(set_to_none=True)
        gc.collect()


def generate(model, args, clock, out):
    """A greedy answer of the model with its adapter, one sequence."""
    model.eval()
    ids = torch.randint(model.config.vocab_size, (1, args.prompt), device=args.device, generator=torch.Generator(args.device).manual_seed(1))

    def answer(tokens):
        with torch.no_grad(), torch.autocast(args.device, torch.bfloat16):
            model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, use_cache=True, pad_token_id=0)
    answer(8)
    began, ms = clock.mean(lambda: answer(args.tokens), 1, warm=0)
    out.write('decode', began, what='greedy, LoRA r = 16', prompt=args.prompt, tokens=args.tokens, whole_tokens_per_s=1e3 * args.tokens / ms)


def quantize(args, clock, out):
    """bitsandbytes' codec on one weight; bytes are those that must be read and written, as in GpuCodecBench."""
    shape = rows.SHAPES[args.model]
    weight = random((shape[1], shape[0]), args.device)
    coded, doubled = weight.numel() * (2 + 0.5 + 4 / 64), weight.numel() * (2.5 + 1 / 64)
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit
    for double in (False, True):
        codes, state = quantize_4bit(weight, quant_type='nf4', compress_statistics=double)
        kind = 'double quantization' if double else 'absmax in 32 bits'
        for what, work, count in ((f'encode BF16, {kind}' + ', waited for' * double, lambda: quantize_4bit(weight, quant_type='nf4', compress_statistics=double), coded),
                                  (f'decode, {kind}', lambda: dequantize_4bit(codes, state), doubled if double else coded)):
            began, ms = clock.mean(work, REPEATS)
            out.write('codec', began, what=what, ms=ms, tb_per_s=count / ms / 1e9)


def main():
    args = arguments()
    rows.require(args.device, 'torch', 'transformers', 'peft', 'bitsandbytes')
    os.environ['HF_HUB_OFFLINE'] = '1'
    global bitsandbytes, peft, torch, transformers
    import torch
    import bitsandbytes
    import peft
    import transformers
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = True
    out, clock = rows.Rows(args.json), rows.Clock(args.device)
    out.versions('torch', 'transformers', 'peft', 'bitsandbytes')
    if 'quantize' in args.parts:
        quantize(args, clock, out)
    if {'step', 'generate', 'merge'} & set(args.parts):
        start = time.perf_counter()
        model = adapted(random_model(rows.SHAPES[args.model], args.device), args.checkpointing == 'true')
        clock.wait()
        print(f'model made in {time.perf_counter() - start:.1f} s', flush=True)
        if 'step' in args.parts:
            measure_steps(model, args, clock, out)
        if 'generate' in args.parts:
            generate(model, args, clock, out)
        if 'merge' in args.parts:
            model.eval()
            began, ms = clock.mean(model.merge_and_unload, 1, warm=0)
            out.write('merge', began, what='merge_and_unload', seconds=ms / 1e3)


if __name__ == '__main__':
    main()
