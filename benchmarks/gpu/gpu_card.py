"""The graphics card as nvidia-smi sees it: what it is, and once a second its clock, power and memory."""
import os
import subprocess
import threading
import time

DESCRIPTION = {'name': 'name', 'driver': 'driver_version', 'memory_mib': 'memory.total', 'power_limit_w': 'power.limit', 'most_sm_mhz': 'clocks.max.sm'}
SAMPLE = {'sm_mhz': 'clocks.sm', 'watts': 'power.draw', 'memory_mib': 'memory.used'}


def number(text):
    """A number of nvidia-smi, None for what it does not know, such as [N/A]."""
    try:
        return float(text)
    except ValueError:
        return None


def query(gpu, fields, command='nvidia-smi'):
    """The fields of one card as texts; None where nvidia-smi is missing or fails."""
    try:
        done = subprocess.run([command, f'--id={gpu}', '--query-gpu=' + ','.join(fields.values()), '--format=csv,noheader,nounits'], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    values = [value.strip() for value in done.stdout.strip().split(',')]
    return dict(zip(fields, values)) if done.returncode == 0 and len(values) == len(fields) else None


def first_visible(environment=os.environ):
    """The card that a process takes as its first."""
    return environment.get('CUDA_VISIBLE_DEVICES', '').split(',')[0] or '0'


def describe(gpu, command='nvidia-smi'):
    """Name, driver, memory, power limit and highest clock; empty without nvidia-smi."""
    found = query(gpu, DESCRIPTION, command) or {}
    return {key: value if key in ('name', 'driver') else number(value) for key, value in found.items()}


class Watch:
    """Samples a card in a thread of its own, from `with` to its end."""

    def __init__(self, gpu, interval=1.0, command='nvidia-smi'):
        self.gpu, self.interval, self.command = gpu, interval, command
        self.samples = []  # (seconds since 1970, figures by name)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def run(self):
        while True:
            at = time.time()
            found = query(self.gpu, SAMPLE, self.command)
            if found is None:
                return
            self.samples.append((at, {key: number(value) for key, value in found.items()}))
            if self.ended.wait(max(0.0, self.interval - (time.time() - at))):
                return


def means(samples, windows):
    """Mean clock and power and most memory of the samples within windows of (began, ended); a figure is missing where there is no sample of it."""
    inside = [figures for at, figures in samples if any(began <= at <= ended for began, ended in windows)]
    found = {}
    for key in SAMPLE:
        values = [figures[key] for figures in inside if figures[key] is not None]
        if values:
            found[key] = max(values) if key == 'memory_mib' else sum(values) / len(values)
    return found
