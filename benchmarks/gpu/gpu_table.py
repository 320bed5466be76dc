"""The Markdown of `benchmarks/gpu/run all` out of the results of its parts."""
import gpu_parts

NONE, FAILED = '-', 'failed'
GIGA = 1e9


class Results:
    """{name of a part: its result as all.py stores it}; a part that did not run is missing."""

    def __init__(self, parts):
        self.parts = parts

    def find(self, part, **figures):
        """The row with these figures, the last if there are several; FAILED if a part failed before it, None where it was not asked for."""
        result = self.parts.get(part)
        if result is None:
            return None
        rows = [row for row in result['rows'] if all(row.get(key) == value for key, value in figures.items())]
        return rows[-1] if rows else FAILED if result['status'] != 'ok' else None

    def rows(self, part, bench):
        return [row for row in self.parts.get(part, {'rows': []})['rows'] if row['bench'] == bench]

    def floor(self, setting, products):
        return self.find('floor', bench='floor', setting=setting, products=products)


def markdown(parts, card=None):
    """All tables. `parts` as in Results, `card` as gpu_card.describe gives it."""
    results = Results(parts)
    sections = [_head(results, card or {}), _steps(results), _singles(results), _decoding(results), _load_and_merge(results), _codec(results), _card(results)]
    return '\n\n'.join(section for section in sections if section) + '\n'


# ---- cells

def is_row(row):
    return isinstance(row, dict)


def figure(row, key, form='{:.0f}', scale=1.0):
    """A cell: the figure, or why there is none."""
    if not is_row(row):
        return row or NONE
    if row.get('out_of_memory'):
        return 'out of memory'
    return NONE if row.get(key) is None else form.format(row[key] / scale)


def ratio(above, below, key, form='{:.2f}'):
    if not (is_row(above) and is_row(below) and above.get(key) and below.get(key)):
        return NONE
    return form.format(above[key] / below[key])


def reached(row, floor):
    """How much of the floor's speed a step has."""
    share = ratio(floor, row, 'ms', '{}')
    return 'n/a' if share == NONE else f'{100 * float(share):.0f} %'


def speed(tokens_per_s):
    """A space between thousands, as in the tables of README.md."""
    return f'{tokens_per_s:,.0f}'.replace(',', ' ')


def tokens(row):
    if not is_row(row) or row.get('tokens_per_s') is None:
        return figure(row, 'tokens_per_s')
    return speed(row['tokens_per_s'])


def gigabytes(row, key):
    return figure(row, key, '{:.1f}', GIGA)


def table(head, rows):
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in [head, ['---'] * len(head), *rows])


# ---- sections

def _head(results, card):
    versions = {}
    for result in results.parts.values():
        for row in result['rows']:
            versions.update(row.get('versions', {}))
    what = [card['name'], f'driver {card["driver"]}'] if card.get('name') else ['a card that nvidia-smi does not name']
    if card.get('power_limit_w'):
        what.append(f'power limit {card["power_limit_w"]:.0f} W')
    if card.get('most_sm_mhz'):
        what.append(f'SM clock up to {card["most_sm_mhz"]:.0f} MHz')
    failed = [name for name, result in results.parts.items() if result['status'] != 'ok']
    lines = [', '.join(what + [f'{name} {version}' for name, version in versions.items()]) + '.']
    return '\n\n'.join(lines + [f'**Failed: {", ".join(failed)}.**'] * bool(failed))


def _steps(results):
    if not {'bf16', 'fp8', 'python', 'python-checkpointing'} & results.parts.keys():
        return ''
    rows = []
    for setting in gpu_parts.SETTINGS:
        bf16, fp8, plain, checkpointing = (results.find(part, bench='step', setting=setting) for part in ('bf16', 'fp8', 'python', 'python-checkpointing'))
        rows.append([setting.replace('x', '×'), tokens(bf16), gigabytes(bf16, 'taken_bytes'), reached(bf16, results.floor(setting, 'bf16')),
                     tokens(fp8), gigabytes(fp8, 'taken_bytes'), reached(fp8, results.floor(setting, 'fp8')),
                     tokens(plain), gigabytes(plain, 'peak_bytes'), tokens(checkpointing), gigabytes(checkpointing, 'peak_bytes'),
                     ratio(bf16, plain, 'tokens_per_s'), ratio(fp8, plain, 'tokens_per_s'), ratio(bf16, checkpointing, 'tokens_per_s')])
    head = ['sequences × tokens', 'jqlora bf16: tokens/s', 'GB', 'of the floor', 'FP8: tokens/s', 'GB', 'of the floor',
            'Python: tokens/s', 'GB', 'with checkpointing: tokens/s', 'GB', 'bf16 / Python', 'FP8 / Python', 'bf16 / Python with checkpointing']
    return '**A training step**, Llama-3-8B shape, everything kept, no decoded weight resident\n\n' + table(head, rows)


def _singles(results):
    rows = []
    for single in gpu_parts.SINGLES:
        if single.part in results.parts:
            row = results.find(single.part, bench='step', setting=single.setting)
            rows.append([f'{single.setting.replace("x", "×")}, {single.title}', figure(row, 'ms'), tokens(row), gigabytes(row, 'taken_bytes'), gigabytes(row, 'host_bytes'),
                         reached(row, results.floor(single.setting, 'bf16') if single.floor else None)])
    return '**Other steps of jqlora**\n\n' + table(['setting', 'ms', 'tokens/s', 'GB', 'GB of the host', 'of the floor'], rows) if rows else ''


def _decoding(results):
    theirs = results.find('python-other', bench='decode') if 'python-other' in results.parts else None
    ours = results.rows('decode', 'decode')
    rows = []
    for row in ours or ([results.find('decode', bench='decode')] if 'decode' in results.parts else []):
        what = row['what'] if is_row(row) else 'greedy'
        peer = theirs if is_row(theirs) and theirs['what'] == what else None
        rows.append([what, figure(row, 'ms', '{:.2f}'), figure(row, 'tokens_per_s'), figure(row, 'whole_tokens_per_s'),
                     figure(peer, 'whole_tokens_per_s', '{:.1f}'), ratio(row, peer, 'whole_tokens_per_s', '{:.1f}')])
    if theirs and not any(is_row(row) and is_row(theirs) and row['what'] == theirs['what'] for row in ours):
        rows.append([theirs['what'] if is_row(theirs) else 'greedy, LoRA', NONE, NONE, NONE, figure(theirs, 'whole_tokens_per_s', '{:.1f}'), NONE])
    head = ['one sequence', 'jqlora: ms a token', 'tokens/s', 'whole answer: tokens/s', 'Python, whole answer: tokens/s', 'jqlora / Python']
    return '**Decoding**, Llama-3-8B shape\n\n' + table(head, rows) if rows else ''


def _load_and_merge(results):
    rows = []
    for part, bench, title in (('load', 'load', '16 GB of bfloat16 safetensors into NF4'), ('merge', 'merge', None)):
        times = {}
        for row in results.rows(part, bench):
            times.setdefault(title or f'merge, `{row["what"]}`', []).append(f'{row["seconds"]:.3f}')
        if part in results.parts and not times:
            times = {title or 'merge': [figure(results.find(part, bench=bench), 'seconds')]}
        rows += [[what, ', '.join(of_what)] for what, of_what in times.items()]
    if 'python-other' in results.parts:
        rows.append(['Python: `merge_and_unload` of the same adapter', figure(results.find('python-other', bench='merge'), 'seconds', '{:.1f}')])
    return '**Loading and merging**, Llama-3-8B shape, an adapter of r = 16 on all linear layers\n\n' + table(['', 'seconds, each time'], rows) if rows else ''


def _codec(results):
    ours, theirs = results.rows('codec', 'codec'), {row['what']: row for row in results.rows('python-other', 'codec')}
    rows = []
    for row in ours:
        peer = theirs.pop(row['what'], None)
        rows.append([row['what'], figure(row, 'ms', '{:.3f}'), figure(row, 'tb_per_s', '{:.2f}'), figure(peer, 'ms', '{:.3f}'), figure(peer, 'tb_per_s', '{:.2f}'), ratio(peer, row, 'ms')])
    rows += [[what, NONE, NONE, figure(peer, 'ms', '{:.3f}'), figure(peer, 'tb_per_s', '{:.2f}'), NONE] for what, peer in theirs.items()]
    head = ['one weight of 14336 × 4096', 'jqlora: ms', 'TB/s', 'Python: ms', 'TB/s', 'jqlora / Python, speed']
    return '**Codec and optimizer**\n\n' + table(head, rows) if rows else ''


def _card(results):
    rows = [[name, figure(result, 'seconds'), figure(result['card'], 'sm_mhz'), figure(result['card'], 'watts'), figure(result['card'], 'memory_mib', '{:.1f}', GIGA / 2**20)]
            for name, result in results.parts.items()]
    return '**The card** while rows were measured\n\n' + table(['part', 'seconds in all', 'mean SM clock, MHz', 'mean power, W', 'most memory, GB'], rows) if rows else ''
