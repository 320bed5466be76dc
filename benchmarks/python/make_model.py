"""The benchmark's model: a Llama shape of 134 million random weights, saved in bfloat16 as a Hugging Face folder.
Usage: make_model.py FOLDER   (does nothing if FOLDER is there)
"""
import os
import shutil
import sys
import tempfile

NAME = 'llama-134m'
SHAPE = dict(vocab_size=32000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
             num_key_value_heads=12, max_position_embeddings=2048, tie_word_embeddings=False)


def default_folder():
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    return os.path.join(cache, 'jqlora', 'bench', NAME)


def make(folder):
    """Saves the model; in one rename, so that a folder that is there is whole."""
    if os.path.exists(folder):
        return
    import torch
    import transformers
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).to(torch.bfloat16)
    parent = os.path.dirname(os.path.abspath(folder))
    os.makedirs(parent, exist_ok=True)
    partial = tempfile.mkdtemp(prefix='.' + NAME, dir=parent)
    try:
        model.save_pretrained(partial)
        os.chmod(partial, 0o755)
        os.rename(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(sys.argv[1])
