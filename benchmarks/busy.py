"""A training step alone, beside other programs and beside a second step of the same kind, on one thread and on all; for run.py --busy."""
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys

BESIDE = ('nothing', 'a busy loop for each processor', 'a second step')
WARMUP = 12                                           # steps: until what is compiled is compiled


def processors():
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


def options(model, threads, steps, batch, length):
    return ['--model', model, '--batch', str(batch), '--length', str(length), '--warmup', str(WARMUP), '--steps', str(steps), '--threads', str(threads)]


@contextlib.contextmanager
def companions(commands):
    """Runs `commands` until the body is done; a shell among them ends with what it started."""
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) for command in commands]
    try:
        yield
        ended = [process.args for process in started if process.poll() is not None]
        if ended:
            raise RuntimeError(f'ended before the step beside it: {" ".join(ended[0])}')
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def beside(what, command, arguments):
    """The commands that run beside a step."""
    if what == BESIDE[1]:
        return [[sys.executable, '-c', 'while True: pass']] * processors()
    if what == BESIDE[2]:
        return [command + arguments(1000)]            # the same, for longer
    return []


def measure(command, model, rounds, steps=12, batch=8, length=100, run=subprocess.run):
    """{(beside, threads): seconds of the steps} on one thread and on one for each processor; `command` is that of bench step."""
    seconds = {}
    for _ in range(rounds):
        for what in BESIDE:
            for threads in sorted({1, processors()}):
                def arguments(count):
                    return options(model, threads, count, batch, length)
                print(f'beside {what}, threads {threads}', file=sys.stderr)
                with companions(beside(what, command, arguments)):
                    done = run(command + arguments(steps), capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f'run.py: {" ".join(command + arguments(steps))}: exit status {done.returncode}: {done.stderr.strip()[-500:]}')
                line = json.loads(done.stdout.strip().splitlines()[-1])
                seconds.setdefault((what, threads), []).extend(line['seconds'])
    return seconds


def markdown(seconds):
    """A row for what is beside the step; medians, and those of most threads against the better of the two."""
    counts = sorted({threads for _, threads in seconds})
    rows = ['| beside | ' + ' | '.join(f'{count} thread{"s" if count > 1 else ""}, s' for count in counts) + f' | {counts[-1]} / better |',
            '|' + ' --- |' * (len(counts) + 2)]
    for what in dict.fromkeys(what for what, _ in seconds):
        medians = [statistics.median(seconds[what, count]) for count in counts]
        rows.append(f'| {what} | ' + ' | '.join(f'{median:.3f}' for median in medians) + f' | {medians[-1] / min(medians):.2f} |')
    return '\n'.join(rows)
