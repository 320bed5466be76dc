#!/usr/bin/env python3
"""Measures everything of README.md beside it on one GPU, the Python stack included, and prints Markdown tables.
Usage: benchmarks/gpu/run all [--quick] [--out FOLDER] [--skip NAME,...]   (--help)

Each part is a process of its own, NAME.log is what it printed and NAME.json its rows, with the card's clock and power meanwhile; table.md is what is printed at the end.
A part whose result is there is not run again, so an interrupted run goes on where it was.
"""
import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import gpu_card
import gpu_parts
import gpu_table

RUN = os.path.join(HERE, 'run')
CHECKPOINT = os.path.join('/dev/shm' if os.path.isdir('/dev/shm') else '/tmp', 'jqlora-gpu-bench')


def arguments(argv=None):
    known = [part.name for part in gpu_parts.parts(False, '')]
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    peers = os.path.join(cache, 'jqlora', 'peers', 'bin', 'python')

    def names(text):
        unknown = [name for name in text.split(',') if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f'{", ".join(unknown)}: no such part; there are {", ".join(known)}')
        return text.split(',')
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=f'Parts: {", ".join(known)}.')
    parser.add_argument('--quick', action='store_true', help='five seconds a row, checkpointing in Python in two settings only: about nine minutes on an H200')
    parser.add_argument('--out', default=os.path.join(ROOT, 'target', 'benchmarks-gpu-results'), metavar='FOLDER', help='where the results go')
    parser.add_argument('--skip', type=names, default=[], metavar='NAME,...', help='parts that are left out')
    parser.add_argument('--only', type=names, default=known, metavar='NAME,...', help='parts that are run, the others are left out')
    parser.add_argument('--again', action='store_true', help='run parts whose result is there, too')
    parser.add_argument('--seconds', type=float, help='of steps a row; default 5 with --quick and 10 without')
    parser.add_argument('--java', default=os.environ.get('JQLORA_JAVA_COMMAND'), metavar='COMMAND',
                        help='Java with its flags and a class path that holds the benchmarks, quoted as in a shell, in place of compiling; default $JQLORA_JAVA_COMMAND')
    parser.add_argument('--python', default=peers if os.path.exists(peers) else sys.executable, metavar='PATH',
                        help='the Python with torch, transformers, peft and bitsandbytes; default that of benchmarks/python/install.sh, else this one')
    parser.add_argument('--checkpoint', metavar='FOLDER', help=f'the 16 GB that load and merge read, made if they are not there, and kept; default {CHECKPOINT}, removed at the end')
    parser.add_argument('--gpu', default=gpu_card.first_visible(), help='the card that nvidia-smi is asked about; default the first of CUDA_VISIBLE_DEVICES')
    parser.add_argument('--limit', type=float, default=900, metavar='SECONDS', help='a part that takes longer is ended, and has failed')
    args = parser.parse_args(argv)
    if args.seconds is not None and not args.seconds > 0:
        parser.error(f'--seconds is {args.seconds}, it must be more than 0')
    return args


def selected(args):
    """The parts that were asked for, in their order."""
    return [part for part in gpu_parts.parts(args.quick, args.checkpoint or CHECKPOINT, args.seconds) if part.name in args.only and part.name not in args.skip]


def command(part, python, rows):
    """What is run for a part; its rows go to the file `rows`."""
    if part.side == 'java':
        return [RUN, *part.arguments, f'json={rows}']
    return [python, os.path.join(HERE, 'python', part.arguments[0]), *part.arguments[1:], '--json', rows]


def stored(out, part):
    """The result of a part that is there; None if it failed, or was measured with other arguments."""
    try:
        with open(os.path.join(out, part.name + '.json')) as file:
            result = json.load(file)
    except FileNotFoundError:
        return None
    return result if result['status'] == 'ok' and result['arguments'] == part.arguments else None


def read_rows(path):
    """The rows that a process left; what it was writing when it was ended is left out."""
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file if line.endswith('\n')]


def run_part(part, args, environment):
    """Runs it, stores its result and returns it."""
    rows_file, log_file = (os.path.join(args.out, part.name + end) for end in ('.rows', '.log'))
    if os.path.exists(rows_file):
        os.remove(rows_file)
    began, message = time.time(), None
    with open(log_file, 'w') as log, gpu_card.Watch(args.gpu) as watch:
        try:
            process = subprocess.Popen(command(part, args.python, rows_file), stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True)
            try:
                status = process.wait(args.limit)
                message = status and f'exit status {status}'
            except subprocess.TimeoutExpired:
                message = f'took more than {args.limit:g} s'
            finally:
                if process.poll() is None:  # after the limit, or an interrupt
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        except OSError as failed:
            message = str(failed)
    rows = read_rows(rows_file)
    measured = [row for row in rows if 'began' in row]
    message = message or (None if measured else 'measured nothing')
    for row in measured:
        row['card'] = gpu_card.means(watch.samples, [(row['began'], row['ended'])])
    result = {'part': part.name, 'side': part.side, 'arguments': part.arguments, 'status': 'failed' if message else 'ok', 'message': message, 'began': began,
              'seconds': time.time() - began, 'card': gpu_card.means(watch.samples, [(row['began'], row['ended']) for row in measured]), 'rows': rows}
    write(os.path.join(args.out, part.name + '.json'), json.dumps(result, indent=1))
    if os.path.exists(rows_file):
        os.remove(rows_file)
    return result


def write(path, text):
    """All of it or nothing."""
    with open(path + '.part', 'w') as file:
        file.write(text)
    os.replace(path + '.part', path)


def java_command(given):
    """The command of Java, compiled for if none is given."""
    if given:
        return given
    done = subprocess.run([RUN, 'command'], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f'all.py: the benchmarks do not compile (exit status {done.returncode}); --java takes a command of Java with a class path that holds them')
    return done.stdout.strip()


def last_line(path):
    with open(path, errors='replace') as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else ''


def main(argv=None):
    args = arguments(argv)
    args.out = os.path.abspath(args.out)
    start = time.monotonic()

    def say(text):
        print(f'[{time.monotonic() - start:4.0f} s] {text}', file=sys.stderr, flush=True)
    os.makedirs(args.out, exist_ok=True)
    parts = selected(args)
    results = {part.name: found for part in parts if not args.again and (found := stored(args.out, part))}
    todo = [part for part in parts if part.name not in results]
    # nvidia-smi counts the cards as they are plugged in, CUDA the fastest first unless told
    environment = {'CUDA_DEVICE_ORDER': 'PCI_BUS_ID', 'PYTHONUNBUFFERED': '1', **os.environ}
    if any(part.side == 'java' for part in todo):
        say('compiling' if not args.java else f'Java is {shlex.split(args.java)[0]}')
        environment['JQLORA_JAVA_COMMAND'] = java_command(args.java)
    card = gpu_card.describe(args.gpu)
    if not card:
        say('nvidia-smi says nothing, so clock and power stay unknown')
    if results:
        say(f'already there: {", ".join(results)}')

    def report():
        """Stores all results and their table, after each part, since what runs this may end it at any time."""
        ordered = {part.name: results[part.name] for part in parts if part.name in results}
        text = gpu_table.markdown(ordered, card)
        write(os.path.join(args.out, 'results.json'), json.dumps({'card': card, 'parts': ordered}, indent=1))
        write(os.path.join(args.out, 'table.md'), text)
        return text
    try:
        for number, part in enumerate(todo, 1):
            say(f'{number} of {len(todo)}, {part.name}: {" ".join(part.arguments)}')
            result = results[part.name] = run_part(part, args, environment)
            count = sum('began' in row for row in result['rows'])
            say(f'    {count} rows in {result["seconds"]:.0f} s' if result['status'] == 'ok'
                else f'    failed after {result["seconds"]:.0f} s: {result["message"]}; {part.name}.log ends with: {last_line(os.path.join(args.out, part.name + ".log"))}')
            report()
    finally:
        if not args.checkpoint and any(part.name in ('load', 'merge') for part in todo):
            shutil.rmtree(CHECKPOINT, ignore_errors=True)
        print(report(), end='', flush=True)
    failed = [name for name, result in results.items() if result['status'] != 'ok']
    if failed:
        sys.exit(f'all.py: failed: {", ".join(failed)}; their logs are in {args.out}')


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('all.py: ended'))  # an exception, so that the part that runs is ended too
    main()
