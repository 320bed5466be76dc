"""Seconds and memory of one QLoRA training step of transformers, peft and bitsandbytes on the CPU: forward, backward, clip, AdamW.
Prints one JSON line (benchmarks/README.md). One setting a process, since the memory is the process's.
Usage: qlora_step.py [--batch 1] [--length 512] [--dtype float32|bfloat16] [--recompute] [--model FOLDER] [--r 16] [--targets q_proj,v_proj]
"""
import argparse
import gc
import os
import time

os.environ['HF_HUB_OFFLINE'] = '1'
import torch
import peft
import transformers

import make_model
import measure

SEVEN = 'q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj'


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument('--model', help='a Hugging Face folder; default: the random Llama shape, made at the first use')
    parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='float32', help='compute dtype')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--length', type=int, default=512)
    parser.add_argument('--recompute', action='store_true', help='gradient checkpointing')
    parser.add_argument('--r', type=int, default=16)
    parser.add_argument('--alpha', type=float, default=32)
    parser.add_argument('--targets', default=SEVEN)
    parser.add_argument('--warmup', type=int, default=1)
    parser.add_argument('--steps', type=int, default=5)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    return parser.parse_args()


def load(args):
    """The model as the documents of transformers and peft set it up for QLoRA."""
    dtype = getattr(torch, args.dtype)
    quantization = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4', bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)
    model = transformers.AutoModelForCausalLM.from_pretrained(args.model, quantization_config=quantization, dtype=dtype, device_map='cpu', attn_implementation='sdpa')
    model.config.use_cache = False
    # use_reentrant=False is what transformers' Trainer passes
    model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=args.recompute, gradient_checkpointing_kwargs={'use_reentrant': False})
    config = peft.LoraConfig(task_type='CAUSAL_LM', r=args.r, lora_alpha=args.alpha, lora_dropout=0.0, target_modules=args.targets.split(','))
    return peft.get_peft_model(model, config).train()


def stepper(model, args):
    """A function that does step n on tokens of seed + n, all labelled, and returns the loss."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0, fused=True)  # fused is the Trainer's default
    vocab_size = model.config.vocab_size

    def step(n):
        ids = torch.tensor(measure.tokens(args.seed + n, args.batch * args.length, vocab_size)).reshape(args.batch, args.length)
        # the Trainer's bf16=True is autocast
        with torch.autocast('cpu', torch.bfloat16, enabled=args.dtype == 'bfloat16'):
            loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 0.3)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    if args.model is None:
        args.model = make_model.default_folder()
        make_model.make(args.model)
    start = time.perf_counter()
    model = load(args)
    load_seconds, load_peak = time.perf_counter() - start, measure.status_bytes('VmHWM')
    gc.collect()
    measure.reset_peak()
    loaded = measure.status_bytes('VmRSS')
    step = stepper(model, args)
    losses = [step(n) for n in range(args.warmup)]
    watch = measure.Stopwatch()
    losses += [watch.time(lambda: step(args.warmup + n)) for n in range(args.steps)]
    peak = measure.status_bytes('VmHWM')
    setting = dict(model=os.path.basename(os.path.normpath(args.model)), dtype=args.dtype, batch=args.batch, length=args.length,
                   recompute=args.recompute, r=args.r, targets=args.targets)
    figures = dict(losses=losses, peak_bytes=peak, loaded_bytes=loaded, load_peak_bytes=load_peak, load_seconds=load_seconds)
    measure.emit('step', setting, args.batch * args.length, watch, figures, torch.get_num_threads(),
                 measure.versions('torch', 'transformers', 'peft', 'bitsandbytes'))


if __name__ == '__main__':
    main()
