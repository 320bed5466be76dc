"""What the scripts of the GPU benchmarks share: arguments, the check of the stack, the clock and the JSON rows. Standard library only."""
import argparse
import importlib.util
import json
import os
import re
import sys
import time

SETTINGS = '1x512,4x512,1x2048,4x2048,1x8192'
# hidden, intermediate, layers, heads, key-value heads, head, vocabulary: as in GpuStepBench
SHAPES = {'8b': (4096, 14336, 32, 32, 8, 128, 128256), 'tiny': (256, 512, 2, 4, 2, 64, 1000)}


def settings(text):
    """'1x512,4x2048' as [(1, 512), (4, 2048)]: sequences and their tokens."""
    pairs = [re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', part) for part in text.split(',')]
    if not all(pairs):
        raise argparse.ArgumentTypeError(f'"{text}", it must be sequences x tokens with commas between, such as 1x512,4x2048')
    return [(int(pair[1]), int(pair[2])) for pair in pairs]


def words(*known):
    """A type of argument: some of the known words, with commas."""
    def parse(text):
        unknown = [word for word in text.split(',') if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f'{", ".join(repr(word) for word in unknown)}, it must be of {", ".join(known)}')
        return text.split(',')
    return parse


def parser(description):
    """With the arguments that all scripts have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument('--settings', type=settings, default=SETTINGS, help='sequences x tokens, with commas between')
    made.add_argument('--seconds', type=float, default=6, help='of timed steps a setting, after three that do not count')
    made.add_argument('--model', choices=SHAPES, default='8b', help='the shape')
    made.add_argument('--json', help='a file to which a JSON object is appended for each row')
    made.add_argument('--device', choices=['cuda', 'cpu'], default='cuda', help='cpu only tries whether the script runs')
    return made


def require(device, *packages):
    """Ends the process with a message if the stack or the GPU is missing."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    script = os.path.basename(sys.argv[0])
    if missing:
        requirements = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'requirements.txt')
        sys.exit(f'{script}: {sys.executable} has no {", ".join(missing)}; {sys.executable} -m pip install -r {requirements}')
    import torch
    if device == 'cuda' and not torch.cuda.is_available():
        sys.exit(f'{script}: torch {torch.__version__} finds no CUDA device; it needs an NVIDIA GPU with its driver')


class Clock:
    """Times work on a device, waited for."""

    def __init__(self, device):
        import torch
        self.wait = torch.cuda.synchronize if device == 'cuda' else lambda: None

    def mean(self, work, repeats, warm=3):
        """(when it began in seconds since 1970, mean milliseconds) of calls in a row."""
        for _ in range(warm):
            work()
        self.wait()
        began, start = time.time(), time.perf_counter()
        for _ in range(repeats):
            work()
        self.wait()
        return began, 1e3 * (time.perf_counter() - start) / repeats

    def sustained(self, work, seconds, warm=3, least=2):
        """(when it began in seconds since 1970, milliseconds of each call) for so many seconds, each call waited for."""
        for _ in range(warm):
            work()
        self.wait()
        began, end, times = time.time(), time.perf_counter() + seconds, []
        while len(times) < least or time.perf_counter() < end:
            start = time.perf_counter()
            work()
            self.wait()
            times.append(1e3 * (time.perf_counter() - start))
        return began, times


class Rows:
    """Prints measured rows, and appends them to a file, one JSON object a line."""

    def __init__(self, path):
        self.path = path

    def write(self, bench, began=None, **figures):
        row = {'bench': bench, 'side': 'python', **({'began': began, 'ended': time.time()} if began else {}), **figures}
        print(json.dumps(row), flush=True)
        if self.path:
            with open(self.path, 'a') as file:
                file.write(json.dumps(row) + '\n')

    def versions(self, *packages):
        import torch
        from importlib.metadata import version
        self.write('versions', versions={'python': '.'.join(map(str, sys.version_info[:3])), **{package: version(package) for package in packages},
                                         'CUDA of torch': torch.version.cuda, 'cuDNN of torch': torch.backends.cudnn.version()})


def step_figures(times, batch, length):
    """What a row says of the milliseconds of its steps."""
    mean = sum(times) / len(times)
    return {'setting': f'{batch}x{length}', 'ms': mean, 'least_ms': min(times), 'most_ms': max(times), 'steps': len(times), 'tokens_per_s': 1e3 * batch * length / mean}
