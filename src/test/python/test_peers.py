"""The peer scripts against folders that transformers and PEFT made themselves. Needs the Python of benchmarks/python/install.sh; half a minute."""
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'resources', 'fixtures', 'peers')
sys.path.insert(0, PEERS)


def run(script, *arguments):
    return subprocess.run([sys.executable, os.path.join(PEERS, script), *map(str, arguments)], capture_output=True, text=True)


@unittest.skipUnless(importlib.util.find_spec('bitsandbytes'), 'the Python stack is not installed')
class PeersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        global peft, peers_stack, torch, transformers, load_file, save_file
        import peers_stack  # first: it sets the hub offline
        import peft
        import torch
        import transformers
        from safetensors.torch import load_file, save_file
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        torch.manual_seed(1)
        # 96 is a multiple of 32 but not of the block size: where bitsandbytes' own CPU code errs
        config = transformers.LlamaConfig(vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32)
        transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(cls.path('dense'))
        quantization = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4', bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16)
        transformers.AutoModelForCausalLM.from_pretrained(cls.path('dense'), quantization_config=quantization, dtype=torch.bfloat16, device_map='cpu').save_pretrained(cls.path('four_bit'))
        model = transformers.AutoModelForCausalLM.from_pretrained(cls.path('dense'), dtype=torch.float32, attn_implementation='eager')
        adapted = peft.get_peft_model(model, peft.LoraConfig(task_type='CAUSAL_LM', r=4, lora_alpha=8, target_modules=['q_proj', 'down_proj'], init_lora_weights=False)).eval()
        adapted.save_pretrained(cls.path('adapter'))
        with torch.no_grad():
            cls.adapted_logits = adapted(input_ids=torch.tensor([[1, 2, 3]])).logits[0]
            with adapted.disable_adapter():
                cls.logits = adapted(input_ids=torch.tensor([[1, 2, 3]])).logits[0]

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    def request(self, content):
        with open(self.path('request.json'), 'w') as file:
            json.dump(content, file)
        return self.path('request.json')

    def ran_logits(self, folder, adapter=None):
        job = {'folder': self.path(folder), 'adapter': adapter, 'out': self.path('out.safetensors')}
        return run('logits.py', self.request({'ids': [[1, 2, 3], [4]], 'jobs': [job]}))

    def logits_of(self, folder, adapter=None):
        done = self.ran_logits(folder, adapter)
        self.assertEqual(done.returncode, 0, done.stderr)
        return load_file(self.path('out.safetensors'))

    def test_logits_are_those_of_transformers(self):
        logits = self.logits_of('dense')
        self.assertEqual({name: list(tensor.shape) for name, tensor in logits.items()}, {'0': [3, 64], '1': [1, 64]})
        torch.testing.assert_close(logits['0'], self.logits)

    def test_logits_with_adapter_are_those_of_peft(self):
        torch.testing.assert_close(self.logits_of('dense', self.path('adapter'))['0'], self.adapted_logits)
        self.assertGreater(float((self.adapted_logits - self.logits).abs().max()), 0.01)

    def test_four_bit_logits_are_those_of_the_dequantized_weights(self):
        job = {'folder': self.path('four_bit'), 'source': self.path('dense'), 'out': self.path('parts.safetensors')}
        done = run('quantized_equal.py', self.request([job]))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout), {'layers': 7, 'quant_type': 'nf4', 'blocksize': 64, 'dtype': 'bfloat16', 'double_quantization': True,
                                                   'codes': 0, 'stored_absmax': 0, 'absmax_error': 0.0})
        parts = load_file(self.path('parts.safetensors'))
        model = peers_stack.load_model(self.path('dense'))
        with torch.no_grad():
            for name in {key.rsplit('.', 1)[0] for key in parts}:
                weight = model.get_submodule(name).weight
                packed = parts[name + '.packed']
                codes = torch.stack([packed >> 4, packed & 15], dim=1).reshape(-1).long()
                exact = (parts[name + '.quant_map'][codes] * parts[name + '.absmax'].repeat_interleave(64)[:weight.numel()]).reshape(weight.shape)
                torch.testing.assert_close(exact.to(torch.bfloat16), parts[name + '.dequantized'], rtol=0, atol=0)
                weight.copy_(exact)
            expected = model(input_ids=torch.tensor([[1, 2, 3]])).logits[0]
        torch.testing.assert_close(self.logits_of('four_bit')['0'], expected)

    def spoiled(self, folder, change):
        """A copy of a folder whose tensors are changed."""
        copy = tempfile.mkdtemp(dir=self.folder.name)
        for name in os.listdir(self.path(folder)):
            source, target = os.path.join(self.path(folder), name), os.path.join(copy, name)
            if name.endswith('.safetensors'):
                tensors = load_file(source)
                change(tensors)
                save_file(tensors, target, {'format': 'pt'})
            else:
                os.link(source, target)
        return copy

    def test_a_model_with_a_missing_or_unexpected_tensor_is_refused(self):
        with self.assertRaisesRegex(AssertionError, 'missing_keys.*model.norm.weight'):
            peers_stack.load_model(self.spoiled('dense', lambda tensors: tensors.pop('model.norm.weight')))
        with self.assertRaisesRegex(AssertionError, 'unexpected_keys.*model.extra'):
            peers_stack.load_model(self.spoiled('dense', lambda tensors: tensors.update({'model.extra': torch.zeros(1)})))
        with self.assertRaisesRegex(AssertionError, 'unexpected_keys.*q_proj.weight.extra'):
            peers_stack.load_model(self.spoiled('four_bit', lambda tensors: tensors.update({'model.layers.0.self_attn.q_proj.weight.extra': torch.zeros(1)})))
        with self.assertRaises(RuntimeError):
            peers_stack.load_model(self.spoiled('four_bit', lambda tensors: tensors.pop('model.layers.0.self_attn.q_proj.weight.absmax')))

    def test_an_adapter_with_a_missing_or_unexpected_tensor_is_refused(self):
        key = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'
        for change in (lambda tensors: tensors.pop(key), lambda tensors: tensors.update({key.replace('q_proj', 'x_proj'): torch.zeros(4, 64)})):
            done = self.ran_logits('dense', self.spoiled('adapter', change))
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, r"\b[qx]_proj\.lora_A")
        done = self.ran_logits('dense', self.path('adapter'))
        self.assertEqual(json.loads(done.stdout), {'linears_4bit': 0, 'adapted': 2, 'tensors': 4}, done.stderr)


if __name__ == '__main__':
    unittest.main()
