#!/usr/bin/env python3
"""Runs the Python stack and jqlora side by side and prints Markdown tables; benchmarks/README.md describes the lines that both print.
Usage: run.py [--benches step,quantize,matmul] [--rounds 3] [--python PATH] [--java COMMAND] [--lines FILE.jsonl] ...   (--help)
"""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, 'python')]
import busy
import make_model
import measure
import table

STEPS = [(dtype, batch, length, recompute) for dtype in ('float32', 'bfloat16') for batch, length in ((1, 512), (4, 128)) for recompute in (False, True)]


def arguments(argv):
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--benches', default='step,quantize,matmul', type=lambda text: text.split(','))
    parser.add_argument('--rounds', type=int, default=3, help='how often each side runs each bench, one after the other')
    parser.add_argument('--python', default=os.path.join(cache, 'jqlora', 'peers', 'bin', 'python'), help="the Python of install.sh; left out if it is not there")
    parser.add_argument('--java', default=shlex.quote(os.path.join(os.path.dirname(HERE), 'jqlora')), help='the command of the launcher, quoted as in a shell; left out if it is not there')
    parser.add_argument('--lines', help='a file to which the JSON lines are appended')
    parser.add_argument('--model', help='step: a Hugging Face folder instead of the random Llama shape')
    parser.add_argument('--r', help='step: rank of the adapters')
    parser.add_argument('--targets', help='step: target modules, with commas')
    parser.add_argument('--dtypes', default='float32,bfloat16', type=lambda text: text.split(','), help='step: compute dtypes')
    parser.add_argument('--steps', default='4', help='step: timed steps a process')
    parser.add_argument('--seconds', default='0.5', help='quantize, matmul: seconds a setting')
    parser.add_argument('--quiet', type=float, default=0.15, help='cores that other processes may keep busy; repetitions above it do not count')
    parser.add_argument('--patience', type=float, default=120, help='seconds to wait for a quiet machine before each process')
    parser.add_argument('--busy', action='store_true', help="instead: jqlora's step of 8 x 100 tokens (on --model, or the embedded one) alone, beside busy loops and beside a second step")
    return parser.parse_args(argv)


def jobs(args):
    """(bench, options) of each process, in order; the options are the same on both sides."""
    for bench in args.benches:
        if bench == 'step':
            shared = [text for name in ('model', 'r', 'targets', 'steps') if getattr(args, name) for text in ('--' + name, getattr(args, name))]
            for dtype, batch, length, recompute in STEPS:
                if dtype in args.dtypes:
                    yield bench, ['--dtype', dtype, '--batch', str(batch), '--length', str(length)] + ['--recompute'] * recompute + shared
        else:
            yield bench, ['--seconds', args.seconds]


SCRIPTS = {'step': 'qlora_step.py', 'quantize': 'quantize.py', 'matmul': 'matmul.py'}


def sides(args):
    """{side: bench -> command} of those that are installed."""
    found = {}
    if shutil.which(args.python):
        found['python'] = lambda bench: [args.python, os.path.join(HERE, 'python', SCRIPTS[bench])]
    java = shlex.split(args.java)
    if java and shutil.which(java[0]):
        found['java'] = lambda bench: java + ['bench', bench]
    return found


def parse(side, bench, text):
    """The JSON lines of a process; raises ValueError for what is not one."""
    lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    for line in lines:
        missing = {'bench', 'side', 'setting', 'work', 'seconds'} - line.keys()
        if missing or (line['bench'], line['side']) != (bench, side) or not line['seconds']:
            raise ValueError(f'{side} {bench}: not a line of this bench, missing {sorted(missing)}: {line}')
    return lines


def wait_until_quiet(quiet, patience):
    """Sleeps until the machine's busy cores fall to `quiet`, `patience` seconds at most."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        busy, start = measure.busy_seconds(), time.monotonic()
        time.sleep(1)
        if (measure.busy_seconds() - busy) / (time.monotonic() - start) <= quiet:
            return


def main(argv=None):
    args = arguments(argv)
    commands = sides(args)
    if not commands:
        sys.exit(f'run.py: neither {args.python} nor {args.java} is there; benchmarks/python/install.sh makes the first')
    for side in {'python', 'java'} - commands.keys():
        print(f'run.py: {side} is left out, it is not at {getattr(args, side)}', file=sys.stderr)
    if args.busy:
        if 'java' not in commands:
            sys.exit(f'run.py: --busy needs {args.java}')
        wait_until_quiet(args.quiet, args.patience)
        model = args.model or os.path.join(os.path.dirname(HERE), 'models', 'jqlora-tiny')
        print(busy.markdown(busy.measure(commands['java']('step'), model, args.rounds)))
        return
    if 'step' in args.benches and not args.model:
        folder = make_model.default_folder()
        if 'python' in commands:
            subprocess.run([args.python, os.path.join(HERE, 'python', 'make_model.py'), folder], check=True, stderr=subprocess.DEVNULL)
        if os.path.isdir(folder):
            args.model = folder
    collected, failed = [], []
    for round_number in range(args.rounds):
        for bench, options in jobs(args):
            for side, command in commands.items():
                wait_until_quiet(args.quiet, args.patience)
                print(f'round {round_number + 1}: {side} {bench} {" ".join(options)}', file=sys.stderr)
                done = subprocess.run(command(bench) + options, capture_output=True, text=True)
                if done.returncode:
                    failed.append(f'{side} {bench} {" ".join(options)}: exit status {done.returncode}: {done.stderr.strip()[-500:]}')
                    continue
                lines = parse(side, bench, done.stdout)
                collected += lines
                if args.lines:
                    with open(args.lines, 'a') as file:
                        file.writelines(json.dumps(line) + '\n' for line in lines)
    if collected:
        print(table.markdown(collected, args.quiet))
    if failed:
        sys.exit('\n'.join(['run.py: failed:'] + failed))


if __name__ == '__main__':
    main()
