"""The parts of `benchmarks/gpu/run all`: each one process."""
from typing import NamedTuple

SETTINGS = ['1x512', '4x512', '1x2048', '4x2048', '1x8192']
QUICK_CHECKPOINTING = ['1x2048', '4x2048']


class Part(NamedTuple):
    """`arguments` begin with the benchmark of `run` on the side of java, with the script on the side of python."""
    name: str
    side: str
    arguments: list


class Single(NamedTuple):
    """A setting with a row of its own in the table: the part that measures it, what the table calls it, and whether its products are those of the floor."""
    part: str
    setting: str
    title: str
    options: list
    floor: bool


SINGLES = [
    Single('long', '1x32768', 'every layer computed again but for attention, from the host\'s memory, `FASTEST`', ['host=true', 'kept=ATTENTION', 'attention=FASTEST', 'warm=2'], False),
    Single('host', '4x2048', 'every layer computed again, from the host\'s memory, budget 8.5 GB', ['host=true', 'budget=8.5e9'], False),
    Single('70b', '1x2048', 'Llama-3-70B shape, every layer computed again, from the host\'s memory', ['model=70b', 'host=true', 'warm=2'], False),
    Single('fastest', '1x8192', 'attention `FASTEST`', ['attention=FASTEST'], True),
    Single('resident', '1x8192', 'attention `FASTEST`, decoded weights resident', ['attention=FASTEST', 'resident=9e18'], True),
]


def parts(quick, checkpoint, seconds=None):
    """All parts in the order in which they run.

    checkpoint: the folder of the 16 GB that `load` and `merge` read; `seconds`: of steps a row, None for the usual
    """
    ours, theirs, floor = (seconds,) * 3 if seconds else (5, 5, 3) if quick else (10, 10, 6)
    settings = ','.join(SETTINGS)

    def java(name, *arguments):
        return Part(name, 'java', list(arguments))

    def python(name, *arguments):
        return Part(name, 'python', list(arguments))
    return [
        python('floor', 'floor.py', '--settings', settings, '--seconds', f'{floor:g}'),
        java('bf16', 'step', f'settings={settings}', f'seconds={ours:g}'),
        java('fp8', 'step', f'settings={settings}', f'seconds={ours:g}', 'products=FP8'),
        python('python', 'step.py', '--settings', settings, '--seconds', f'{theirs:g}', '--checkpointing', 'false'),
        python('python-checkpointing', 'step.py', '--settings', ','.join(QUICK_CHECKPOINTING if quick else SETTINGS), '--seconds', f'{theirs:g}', '--checkpointing', 'true'),
        *(java(single.part, 'step', f'settings={single.setting}', f'seconds={ours:g}', *single.options) for single in SINGLES),
        java('decode', 'decode', *(['answers=3'] if quick else [])),
        java('load', 'load', f'folder={checkpoint}', f'rounds={2 if quick else 3}'),
        java('merge', 'merge', f'folder={checkpoint}'),
        java('codec', 'codec'),
        python('python-other', 'step.py', '--parts', 'quantize,generate,merge', '--tokens', '64' if quick else '256'),
    ]
