"""Reference data for the numerics of QLoRA: produced by torch, transformers, peft and bitsandbytes (CUDA build).
Usage: make_oracles.py OUTDIR SEED   (needs a CUDA device; bitsandbytes importable)
Every case is a folder with plain files (safetensors, json); README.md beside this script explains them.
"""
import sys, os, json, math, copy, random
import torch, numpy as np
from safetensors.torch import save_file
import transformers, peft, bitsandbytes as bnb
import bitsandbytes.functional as F
from transformers import AutoConfig, AutoModelForCausalLM
from peft import LoraConfig, get_peft_model, PeftModel

OUT, SEED = sys.argv[1], int(sys.argv[2])
torch.backends.cuda.matmul.allow_tf32 = False; torch.backends.cudnn.allow_tf32 = False
torch.set_float32_matmul_precision('highest')
G = torch.Generator().manual_seed(SEED)
def rn(*s, std=1.0): return torch.randn(*s, generator=G) * std
def ri(lo, hi, s): return torch.randint(lo, hi, s, generator=G)
def d(*p):
    p = os.path.join(OUT, *p); os.makedirs(p, exist_ok=True); return p
def save(t, *p, meta=None):
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in t.items()}, os.path.join(d(*p[:-1]), p[-1]), metadata=meta or {})
def jdump(o, *p):
    with open(os.path.join(d(*p[:-1]), p[-1]), 'w') as f: json.dump(o, f, indent=1, ensure_ascii=False)
log = []
def section(name, fn):
    try: fn(); log.append(name + ' ok')
    except Exception as e:
        import traceback; traceback.print_exc(); log.append(name + ' FAILED ' + repr(e)[:200])
    print(log[-1], flush=True)

# ------------------------------------------------------------------ 4-bit codes
def four_bit():
    shapes = {'normal': rn(96, 128, std=0.02), 'wide': rn(7, 1000), 'odd': rn(33, 65, std=0.05), 'tail1': rn(1, 129), 'tiny': rn(1, 3),
              'zeros_block': torch.cat([torch.zeros(1, 64), rn(1, 64)]), 'constant': torch.full((2, 64), 0.25), 'outlier': rn(16, 64).index_fill_(1, torch.tensor([5]), 40.0),
              'uniform': torch.rand(64, 64, generator=G) * 2 - 1}
    for qt in ('nf4', 'fp4'):
        for name, w32 in shapes.items():
            for dt in (torch.float32, torch.float16, torch.bfloat16):
                for bs in (64, 128, 256, 4096):
                    if bs != 64 and (name != 'normal' or dt == torch.float16): continue
                    for nested in (False, True):
                        w = w32.to(dt).cuda()
                        q, s = F.quantize_4bit(w, blocksize=bs, compress_statistics=nested, quant_type=qt)
                        y = F.dequantize_4bit(q, s)
                        t = {'input': w, 'packed': q, 'absmax': s.absmax, 'code': s.code, 'dequantized': y}
                        if nested: t.update(nested_absmax=s.state2.absmax, nested_code=s.state2.code, nested_offset=s.offset.reshape(1))
                        save(t, 'four_bit', f"{qt}_{name}_{str(dt)[6:]}_b{bs}{'_nested' if nested else ''}.safetensors",
                             meta=dict(quant_type=qt, blocksize=str(bs), nested=str(nested), dtype=str(dt)[6:], shape=json.dumps(list(w.shape))))
# ------------------------------------------------------------------ bitsandbytes linear checkpoints
def bnb_linear():
    for qt in ('nf4', 'fp4'):
        for nested in (False, True):
            for bias in (False, True):
                w, b, x = rn(80, 96, std=0.05), rn(80), rn(5, 96)
                lin = bnb.nn.Linear4bit(96, 80, bias=bias, compute_dtype=torch.float32, compress_statistics=nested, quant_type=qt)
                lin.weight = bnb.nn.Params4bit(w.to(torch.bfloat16), requires_grad=False, compress_statistics=nested, quant_type=qt)
                if bias: lin.bias = torch.nn.Parameter(b, requires_grad=False)
                lin = lin.cuda(); xc = x.cuda().requires_grad_(True); y = lin(xc); gy = rn(*y.shape).cuda(); y.backward(gy)
                t = {'linear.' + k: v for k, v in lin.state_dict().items()}
                t.update(x=x, y=y, grad_y=gy, grad_x=xc.grad, original_weight=w.to(torch.bfloat16))
                save(t, 'bnb_linear', f"{qt}{'_nested' if nested else ''}{'_bias' if bias else ''}.safetensors")
    for outl in (False, True):
        w, x = rn(80, 96, std=0.05), rn(5, 96)
        if outl: x[:, [3, 40]] *= 12
        lin = bnb.nn.Linear8bitLt(96, 80, bias=True, has_fp16_weights=False, threshold=6.0)
        lin.weight = bnb.nn.Int8Params(w.half(), requires_grad=False, has_fp16_weights=False); lin.bias = torch.nn.Parameter(rn(80).half(), requires_grad=False)
        lin = lin.cuda(); xc = x.half().cuda().requires_grad_(True); y = lin(xc); gy = rn(*y.shape).half().cuda(); y.backward(gy)
        t = {'linear.' + k: v for k, v in lin.state_dict().items()}; t.update(x=x.half(), y=y, grad_y=gy, grad_x=xc.grad, original_weight=w.half())
        save(t, 'bnb_linear', f"int8{'_outliers' if outl else ''}.safetensors")
# ------------------------------------------------------------------ 8-bit blockwise + optimizers
def optimizers():
    code_s, code_u = F.create_dynamic_map(signed=True), F.create_dynamic_map(signed=False)
    save({'signed': code_s, 'unsigned': code_u}, 'optimizers', 'dynamic_maps.safetensors')
    x = rn(5000); q, s = F.quantize_blockwise(x.cuda(), blocksize=256)
    save({'x': x, 'q': q, 'absmax': s.absmax, 'code': s.code, 'dequantized': F.dequantize_blockwise(q, s)}, 'optimizers', 'blockwise8.safetensors')
    mk = {'AdamW32bit': lambda p: bnb.optim.AdamW32bit(p, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
          'AdamW8bit': lambda p: bnb.optim.AdamW8bit(p, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
          'PagedAdamW32bit': lambda p: bnb.optim.PagedAdamW32bit(p, lr=1e-2, weight_decay=0.0),
          'Lion32bit': lambda p: bnb.optim.Lion32bit(p, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1),
          'Lion8bit': lambda p: bnb.optim.Lion8bit(p, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1),
          'torch_AdamW': lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
          'torch_SGD': lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9)}
    p0, grads = rn(64, 100), [rn(64, 100, std=0.3) for _ in range(10)]
    for n, f in mk.items():
        p = torch.nn.Parameter(p0.clone().cuda()); o = f([p]); t = {'param_0': p0}
        for i, g in enumerate(grads):
            p.grad = g.cuda(); o.step(); t[f'param_{i+1}'] = p.detach().clone(); t[f'grad_{i+1}'] = g
        for k, v in o.state[p].items():
            if torch.is_tensor(v): t['state_' + k] = v.detach().clone()
        save(t, 'optimizers', n + '.safetensors')
    import transformers.optimization as O
    sch = {}
    for n, kw in {'constant': {}, 'constant_with_warmup': {}, 'linear': {}, 'cosine': {}, 'cosine_with_restarts': {}, 'polynomial': {}, 'inverse_sqrt': {}}.items():
        p = torch.nn.Parameter(torch.zeros(1)); o = torch.optim.SGD([p], lr=2e-4); s = O.get_scheduler(n, o, num_warmup_steps=7, num_training_steps=60); l = []
        for _ in range(60): l.append(o.param_groups[0]['lr']); o.step(); s.step()
        sch[n] = l
    jdump(dict(lr=2e-4, num_warmup_steps=7, num_training_steps=60, lr_at_step=sch), 'optimizers', 'schedules.json')
# ------------------------------------------------------------------ model families
B = dict(vocab_size=199, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=112, max_position_embeddings=128)
FAM = {
 'llama': ('llama', dict(B, num_key_value_heads=2)), 'llama_tied': ('llama', dict(B, num_key_value_heads=4, tie_word_embeddings=True)),
 'llama3_rope': ('llama', dict(B, num_key_value_heads=1, rope_theta=500000.0, rope_scaling=dict(rope_type='llama3', factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32))),
 'llama_bias': ('llama', dict(B, num_key_value_heads=2, attention_bias=True, mlp_bias=True)),
 'mistral': ('mistral', dict(B, num_key_value_heads=2, sliding_window=8)), 'qwen2': ('qwen2', dict(B, num_key_value_heads=2)),
 'qwen3': ('qwen3', dict(B, num_key_value_heads=2, head_dim=16)), 'gemma2': ('gemma2', dict(B, num_key_value_heads=2, head_dim=16, sliding_window=8, query_pre_attn_scalar=16)),
 'gemma': ('gemma', dict(B, num_key_value_heads=1, head_dim=16)), 'phi3': ('phi3', dict(B, num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2)),
 'phi': ('phi', dict(B, partial_rotary_factor=0.5)),
 'gpt_neox': ('gpt_neox', dict(B, rotary_pct=0.25)), 'gpt_neox_seq': ('gpt_neox', dict(B, rotary_pct=1.0, use_parallel_residual=False)),
 'gptj': ('gptj', dict(vocab_size=199, n_embd=64, n_layer=2, n_head=4, n_inner=112, rotary_dim=8, n_positions=128)),
 'gpt_neo': ('gpt_neo', dict(vocab_size=199, hidden_size=64, num_layers=2, num_heads=4, intermediate_size=112, max_position_embeddings=128, window_size=8, attention_types=[[['global', 'local'], 1]])),
 'gpt2': ('gpt2', dict(vocab_size=199, n_embd=64, n_layer=2, n_head=4, n_positions=128)),
 'opt': ('opt', dict(vocab_size=199, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, ffn_dim=112, max_position_embeddings=128, word_embed_proj_dim=64)),
 'opt350_style': ('opt', dict(vocab_size=199, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, ffn_dim=112, max_position_embeddings=128, word_embed_proj_dim=32, do_layer_norm_before=False)),
 'mpt': ('mpt', dict(vocab_size=199, d_model=64, n_layers=2, n_heads=4, expansion_ratio=2, max_seq_len=128)),
 'bloom': ('bloom', dict(vocab_size=199, hidden_size=64, n_layer=2, n_head=4)),
 'falcon': ('falcon', dict(vocab_size=199, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, multi_query=True, parallel_attn=True, bias=False, alibi=False)),
 'stablelm': ('stablelm', dict(B, num_key_value_heads=2, partial_rotary_factor=0.25)),
}
def randomize(m, std=0.15):
    for n, p in m.named_parameters():
        with torch.no_grad():
            if p.dim() == 1 and 'bias' not in n: p.copy_(1 + rn(*p.shape, std=0.1) if 'gemma' not in m.config.model_type else rn(*p.shape, std=0.1))
            else: p.copy_(rn(*p.shape, std=std))
    if getattr(m.config, 'tie_word_embeddings', False): m.tie_weights()
def mkmodel(fam):
    mt, kw = FAM[fam]; kw = dict(kw)
    c = AutoConfig.for_model(mt, **kw); c._attn_implementation = 'eager'
    torch.manual_seed(SEED); m = AutoModelForCausalLM.from_config(c, attn_implementation='eager').float().eval(); randomize(m); return m
def batch(V=199, b=2, T=17):
    ids = ri(3, V, (b, T)); mask = torch.ones(b, T, dtype=torch.long); mask[1, T - 4:] = 0; ids[1, T - 4:] = 0
    lab = ids.clone(); lab[:, :5] = -100; lab[mask == 0] = -100; return ids, mask, lab
def families():
    res = {}
    for fam in FAM:
        try:
            m = mkmodel(fam); ids, mask, lab = batch()
            m.zero_grad(); o = m(input_ids=ids, attention_mask=mask, labels=lab); o.loss.backward()
            dd = d('families', fam); m.save_pretrained(dd)
            t = dict(input_ids=ids, attention_mask=mask, labels=lab, logits=o.logits, loss=o.loss.reshape(1))
            for n, p in m.named_parameters():
                if p.grad is not None: t['grad.' + n] = p.grad
            gen = m.generate(input_ids=ids[:1, :6], attention_mask=torch.ones(1, 6, dtype=torch.long), max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=None)
            t['greedy_prompt'] = ids[:1, :6]; t['greedy_tokens'] = gen
            save(t, 'families', fam, 'case.safetensors'); res[fam] = float(o.loss)
        except Exception as e:
            import traceback; traceback.print_exc(); res[fam] = 'FAILED ' + repr(e)[:200]
    print(res); jdump(res, 'families', 'index.json')
# ------------------------------------------------------------------ LoRA through peft
T7 = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = {
 'qv': dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]), 'q_only': dict(r=16, lora_alpha=32, target_modules=["q_proj"]), 'v_only': dict(r=16, lora_alpha=32, target_modules=["v_proj"]),
 'all_linear': dict(r=4, lora_alpha=8, target_modules="all-linear"), 'regex': dict(r=4, lora_alpha=8, target_modules=r".*layers\.1\.(self_attn\.(q|k)_proj|mlp\.down_proj)"),
 'rslora': dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], use_rslora=True), 'dora': dict(r=8, lora_alpha=16, target_modules=["q_proj", "down_proj"], use_dora=True),
 'layers': dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], layers_to_transform=[1]), 'patterns': dict(r=8, lora_alpha=16, target_modules=T7, rank_pattern={"down_proj": 2, "layers.0.self_attn.q_proj": 5}, alpha_pattern={"up_proj": 3}),
 'exclude': dict(r=8, lora_alpha=16, target_modules="all-linear", exclude_modules=["o_proj"]), 'modules_to_save': dict(r=8, lora_alpha=16, target_modules=["q_proj"], modules_to_save=["lm_head", "embed_tokens"]),
 'bias_lora_only': dict(r=8, lora_alpha=16, target_modules=["q_proj", "o_proj"], bias='lora_only'), 'bias_all': dict(r=8, lora_alpha=16, target_modules=["q_proj"], bias='all'), 'lora_bias': dict(r=8, lora_alpha=16, target_modules=["q_proj"], lora_bias=True),
 'embedding': dict(r=4, lora_alpha=8, target_modules=["embed_tokens", "q_proj"]),
}
def lora():
    idx = {}
    for n, kw in LORA.items():
        try:
            fam = 'llama_bias' if 'bias' in n else 'llama'; m = mkmodel(fam); dd = d('lora', n, 'base'); m.save_pretrained(dd)
            pm = get_peft_model(m, LoraConfig(task_type='CAUSAL_LM', lora_dropout=0.0, **kw))
            with torch.no_grad():
                for k, p in pm.named_parameters():
                    if p.requires_grad and ('lora_' in k): p.copy_(rn(*p.shape, std=0.1) if 'magnitude' not in k else p + rn(*p.shape, std=0.05).abs())
                    elif p.requires_grad: p.add_(rn(*p.shape, std=0.02))
            ids, mask, lab = batch(); o = pm(input_ids=ids, attention_mask=mask, labels=lab); o.loss.backward()
            t = dict(input_ids=ids, attention_mask=mask, labels=lab, logits=o.logits, loss=o.loss.reshape(1))
            for k, p in pm.named_parameters():
                if p.grad is not None: t['grad.' + k] = p.grad
            pm.save_pretrained(d('lora', n, 'adapter'), safe_serialization=True)
            idx[n] = dict(config=kw, base=fam, trainable=int(sum(p.numel() for p in pm.parameters() if p.requires_grad)), modules=sorted(k for k, v in pm.named_modules() if hasattr(v, 'lora_A') and len(getattr(v, 'lora_A', {}) or getattr(v, 'lora_embedding_A', {}))))
            mm = pm.merge_and_unload(); o2 = mm(input_ids=ids, attention_mask=mask)
            t['merged_logits'] = o2.logits
            for k, p in mm.state_dict().items(): t['merged.' + k] = p.clone()
            save(t, 'lora', n, 'case.safetensors')
        except Exception as e:
            import traceback; traceback.print_exc(); idx[n] = 'FAILED ' + repr(e)[:200]
    jdump(idx, 'lora', 'index.json')
# ------------------------------------------------------------------ QLoRA: 4-bit base + LoRA, forward, merge, training
def to_4bit(m, qt='nf4', nested=True, skip=('lm_head',)):
    for n, mod in list(m.named_modules()):
        if isinstance(mod, torch.nn.Linear) and n.split('.')[-1] not in skip:
            l = bnb.nn.Linear4bit(mod.in_features, mod.out_features, bias=mod.bias is not None, compute_dtype=torch.float32, compress_statistics=nested, quant_type=qt)
            l.weight = bnb.nn.Params4bit(mod.weight.data.clone(), requires_grad=False, compress_statistics=nested, quant_type=qt)
            if mod.bias is not None: l.bias = mod.bias
            par = m.get_submodule('.'.join(n.split('.')[:-1])); setattr(par, n.split('.')[-1], l)
    m = m.cuda(); m.is_loaded_in_4bit = True; m.is_quantized = True; return m
def qlora():
    idx = {}
    for n, (qt, nested, kw) in {'nf4_dq_all': ('nf4', True, dict(r=8, lora_alpha=16, target_modules=T7)), 'nf4_q': ('nf4', False, dict(r=8, lora_alpha=16, target_modules=["q_proj"])), 'fp4_dq_v': ('fp4', True, dict(r=8, lora_alpha=16, target_modules=["v_proj"]))}.items():
        m = mkmodel('llama'); m.save_pretrained(d('qlora', n, 'base')); m = to_4bit(m, qt, nested)
        ids, mask, lab = [x.cuda() for x in batch()]
        with torch.no_grad(): base_logits = m(input_ids=ids, attention_mask=mask).logits
        for p in m.parameters(): p.requires_grad_(False)
        pm = get_peft_model(m, LoraConfig(task_type='CAUSAL_LM', lora_dropout=0.0, **kw))
        with torch.no_grad():
            for k, p in pm.named_parameters():
                if 'lora_A' in k: p.copy_(rn(*p.shape, std=0.125).to(p.device))
        pm.save_pretrained(d('qlora', n, 'adapter_init'), safe_serialization=True)
        t = dict(input_ids=ids, attention_mask=mask, labels=lab, quantized_logits=base_logits)
        steps, accum, clip = 20, 2, 0.3
        data = [batch(b=2, T=17) for _ in range(steps * accum)]
        for i, (a, b_, c) in enumerate(data): t[f'batch{i}.input_ids'] = a; t[f'batch{i}.attention_mask'] = b_; t[f'batch{i}.labels'] = c
        ps = [p for p in pm.parameters() if p.requires_grad]; opt = torch.optim.AdamW(ps, lr=5e-3, weight_decay=0.0); hist = []
        pm.train()
        for s in range(steps):
            ls = []
            for a in range(accum):
                x, mk_, y = [v.cuda() for v in data[s * accum + a]]
                l = pm(input_ids=x, attention_mask=mk_, labels=y).loss; (l / accum).backward(); ls.append(float(l))
            gn = float(torch.nn.utils.clip_grad_norm_(ps, clip)); opt.step(); opt.zero_grad(set_to_none=True); hist.append(dict(step=s + 1, micro_losses=ls, grad_norm=gn))
        pm.eval(); pm.save_pretrained(d('qlora', n, 'adapter_final'), safe_serialization=True)
        with torch.no_grad(): t['trained_logits'] = pm(input_ids=ids, attention_mask=mask).logits
        mm = pm.merge_and_unload()
        with torch.no_grad(): t['merged4bit_logits'] = mm(input_ids=ids, attention_mask=mask).logits
        for k, v in mm.state_dict().items(): t['merged4bit.' + k] = v.clone()
        save(t, 'qlora', n, 'case.safetensors'); jdump(dict(normalisation='mean of micro-batch means', lr=5e-3, optimizer='torch AdamW betas .9 .999 eps 1e-8 wd 0', clip=clip, accumulation=accum, history=hist, lora=kw, quant_type=qt, nested=nested), 'qlora', n, 'history.json'); idx[n] = hist[-1]
    jdump(idx, 'qlora', 'index.json')
# ------------------------------------------------------------------ decoding
def decoding():
    m = mkmodel('llama'); m.save_pretrained(d('decoding', 'model')); ids = ri(3, 199, (1, 5)); cases = {}
    for n, kw in {'greedy': {}, 'beam3': dict(num_beams=3), 'beam4_lp2': dict(num_beams=4, length_penalty=2.0), 'rep1.3': dict(repetition_penalty=1.3), 'ngram2': dict(no_repeat_ngram_size=2), 'min_new': dict(min_new_tokens=10, eos_token_id=7), 'eos': dict(eos_token_id=[7, 11, 13, 17, 19, 23, 29, 31, 37, 41])}.items():
        kw = dict(dict(max_new_tokens=16, do_sample=False, pad_token_id=0, eos_token_id=None), **kw)
        cases[n] = dict(args={k: v for k, v in kw.items()}, tokens=m.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **kw)[0].tolist())
    from transformers.generation import logits_process as L
    lg = rn(3, 199, std=3.0); t = dict(logits=lg)
    for n, p in {'top_k_5': L.TopKLogitsWarper(5), 'top_p_0.8': L.TopPLogitsWarper(0.8), 'temperature_0.7': L.TemperatureLogitsWarper(0.7), 'typical_0.9': L.TypicalLogitsWarper(0.9), 'min_p_0.1': L.MinPLogitsWarper(0.1)}.items(): t[n] = p(ids.expand(3, -1), lg.clone())
    t['input_ids'] = ids; save(t, 'decoding', 'warpers.safetensors'); jdump(dict(prompt=ids[0].tolist(), cases=cases), 'decoding', 'generate.json')
# ------------------------------------------------------------------ chat templates
def chat():
    from transformers.utils.chat_template_utils import render_jinja_template
    TPL = {
     'chatml': "{% for message in messages %}\n{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% if loop.last and add_generation_prompt %}{{'<|im_start|>assistant\n' }}{% endif %}{% endfor %}",
     'zephyr': "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
     'llama3': "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
     'llama2': "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
     'gemma': "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
     'namespace_tojson': "{%- set ns = namespace(n=0) -%}{%- for m in messages -%}{%- set ns.n = ns.n + 1 -%}[{{ ns.n }}:{{ m.role|upper }}] {{ m.content|tojson }}{{ '\n' if not loop.last }}{%- endfor -%}{%- if tools is defined and tools -%}{{ tools | length }}{%- endif -%}",
    }
    convs = {'one': [dict(role='user', content=' Hello ')], 'sys': [dict(role='system', content='Be brief.'), dict(role='user', content='你好'), dict(role='assistant', content='你好！'), dict(role='user', content='2+2? "quoted"\nnew line')], 'two': [dict(role='user', content='a'), dict(role='assistant', content='b'), dict(role='user', content='c')], 'bad': [dict(role='user', content='a'), dict(role='user', content='b')]}
    out = []
    for tn, tp in TPL.items():
        for cn, c in convs.items():
            for agp in (False, True):
                try:
                    r, _ = render_jinja_template(conversations=[c], chat_template=tp, add_generation_prompt=agp, bos_token='<s>', eos_token='</s>'); r = r[0]
                except Exception as e: r = None
                out.append(dict(template=tn, conversation=cn, add_generation_prompt=agp, rendered=r))
    jdump(dict(templates=TPL, conversations=convs, cases=out), 'chat', 'chat.json')

for f in (four_bit, bnb_linear, optimizers, families, lora, qlora, decoding, chat): section(f.__name__, f)
jdump(dict(seed=SEED, torch=torch.__version__, transformers=transformers.__version__, peft=peft.__version__, bitsandbytes=bnb.__version__, device=torch.cuda.get_device_name(0), log=log), 'versions.json')
