"""What every Python benchmark shares: the tokens, the clock, the memory, the neighbours and the JSON line. Standard library only."""
import json
import math
import os
import sys
import time

MULTIPLIER, INCREMENT = 6364136223846793005, 1442695040888963407  # Knuth's 64-bit linear congruential generator (MMIX)


def tokens(seed, count, vocab_size):
    """`count` token ids in [0, vocab_size), the same here and in `./jqlora bench`: the upper 31 bits of each state, modulo vocab_size."""
    state, ids = seed, []
    for _ in range(count):
        state = (state * MULTIPLIER + INCREMENT) & 0xFFFFFFFFFFFFFFFF
        ids.append((state >> 33) % vocab_size)
    return ids


def status_bytes(field, text=None):
    """A field of /proc/self/status in bytes, such as VmHWM, the largest resident memory since the last reset."""
    if text is None:
        with open('/proc/self/status') as file:
            text = file.read()
    for line in text.splitlines():
        if line.startswith(field + ':'):
            return int(line.split()[1]) * 1024
    raise ValueError(f'/proc/self/status: no field {field}')


def reset_peak():
    """Lowers VmHWM to what is resident now (proc(5): 5 written to clear_refs)."""
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')


def busy_seconds(text=None):
    """CPU seconds that the whole machine has worked since it started, those that a hypervisor took away included."""
    if text is None:
        with open('/proc/stat') as file:
            text = file.readline()
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, text.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf('SC_CLK_TCK')


class Stopwatch:
    """Times calls one by one; `others` is how many cores other processes kept busy during each."""

    def __init__(self):
        self.seconds, self.others = [], []

    def time(self, call):
        busy, own, start = busy_seconds(), time.process_time(), time.perf_counter()
        result = call()
        wall = time.perf_counter() - start
        self.seconds.append(wall)
        self.others.append(max(0.0, (busy_seconds() - busy - (time.process_time() - own)) / wall))
        return result


def until(seconds, call, least=0.1):
    """Times rounds of `call` for `seconds`, at least 3 of them, each of so many calls that it takes `least` seconds; the clock of
    `others` has ticks of 10 ms. Some calls before are not counted."""
    trial = Stopwatch()
    for _ in range(5):
        trial.time(call)
    inner = max(1, math.ceil(least / min(trial.seconds)))  # the fastest: a disturbed one would make the rounds too short
    watch, end = Stopwatch(), time.perf_counter() + seconds
    while len(watch.seconds) < 3 or time.perf_counter() < end:
        watch.time(lambda: [call() for _ in range(inner)])
    watch.seconds = [wall / inner for wall in watch.seconds]
    return watch


def processor(text=None):
    """The processor's name, as the kernel gives it; 'unknown' where it gives none, as on ARM."""
    if text is None:
        with open('/proc/cpuinfo') as file:
            text = file.read()
    return next((line.split(':', 1)[1].strip() for line in text.splitlines() if line.startswith('model name')), 'unknown')


def vector_bits(capability=None):
    """Bits of the vectors that PyTorch computes with; ATEN_CPU_CAPABILITY can make them shorter than the processor's."""
    if capability is None:
        import torch
        capability = torch.backends.cpu.get_cpu_capability()
    return next((bits for name, bits in (('AVX512', 512), ('AVX2', 256)) if capability.upper().startswith(name)), 128)


def versions(*packages):
    from importlib.metadata import version
    return {'python': '.'.join(map(str, sys.version_info[:3])), **{package: version(package) for package in packages}}


def emit(bench, setting, work, watch, figures, threads, stack, vectors=None):
    """Prints the line of one setting; benchmarks/README.md describes it."""
    print(json.dumps({'bench': bench, 'side': 'python', 'setting': setting, 'work': work,
                      'seconds': [round(s, 7) for s in watch.seconds], 'others': [round(o, 2) for o in watch.others],
                      **figures, 'threads': threads, 'processor': processor(), 'vector_bits': vectors or vector_bits(), 'versions': stack}), flush=True)
