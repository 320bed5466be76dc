"""Markdown tables of benchmark lines: the median of the undisturbed repetitions of each side, their spread, and Java over Python."""
import statistics

SIDES = ('python', 'java')
UNITS = {'step': ('tokens/s', 1), 'quantize': ('million values/s', 1e6), 'matmul': ('GFLOP/s', 1e9)}


def pool(lines, quiet):
    """{bench: {setting: {side: pooled}}} in the order of the lines; `quiet` is how many cores others may have kept busy in a repetition
    that counts. Where none was quiet all count and `disturbed` is set. A setting is its items as a tuple."""
    raw = {}
    for line in lines:
        setting = tuple(line['setting'].items())
        key = next((known for known in raw.get(line['bench'], {}) if dict(known) == line['setting']), setting)
        raw.setdefault(line['bench'], {}).setdefault(key, {}).setdefault(line['side'], []).append(line)
    return {bench: {setting: {side: _pool_side(of_side, quiet) for side, of_side in sides.items()} for setting, sides in settings.items()}
            for bench, settings in raw.items()}


def _pool_side(lines, quiet):
    repetitions = [(seconds, others) for line in lines for seconds, others in zip(line['seconds'], line.get('others', [0] * len(line['seconds'])), strict=True)]
    kept = [seconds for seconds, others in repetitions if others <= quiet]
    work = lines[0]['work']
    speeds = sorted(work / seconds for seconds in kept or [seconds for seconds, _ in repetitions])
    peaks = [line['peak_bytes'] for line in lines if 'peak_bytes' in line]
    return {'speed': work / statistics.median(kept or [seconds for seconds, _ in repetitions]), 'least': speeds[0], 'most': speeds[-1],
            'kept': len(kept), 'of': len(repetitions), 'disturbed': not kept, 'peak': statistics.median(peaks) if peaks else None,
            'first_loss': next((line['losses'][0] for line in lines if line.get('losses')), None)}


def markdown(lines, quiet):
    """The machine, then one table a bench."""
    return '\n\n'.join(_machine(lines) + [_table(bench, settings) for bench, settings in pool(lines, quiet).items()])


def _machine(lines):
    """What the lines say of the processor and the vectors; nothing where they say nothing."""
    names = ' and '.join(dict.fromkeys(line['processor'] for line in lines if 'processor' in line))
    vectors = {side: ' and '.join(dict.fromkeys(f"{line['vector_bits']} bits" for line in lines if line['side'] == side and 'vector_bits' in line)) for side in SIDES}
    told = ', '.join(f'{side.capitalize()} {bits}' for side, bits in vectors.items() if bits)
    return [f'Processor: {names}. Vectors: {told}.'] if names and told else []


def _table(bench, settings):
    unit, scale = UNITS[bench]
    constant = {name: value for name, value in next(iter(settings)) if all(dict(setting).get(name) == value for setting in settings)}
    names = [name for name, _ in next(iter(settings)) if name not in constant]
    with_peak = any(side['peak'] for sides in settings.values() for side in sides.values())
    head = names + [f'Python {unit}', f'Java {unit}', 'Java / Python'] + (['Python peak MiB', 'Java peak MiB', 'Java / Python', 'first loss, Java - Python'] if with_peak else [])
    rows = []
    for setting, sides in settings.items():
        python, java = (sides.get(side) for side in SIDES)
        row = [_text(dict(setting).get(name)) for name in names] + [_speed(python, scale), _speed(java, scale), _ratio(python, java, 'speed')]
        if with_peak:
            row += [_mebibytes(python), _mebibytes(java), _ratio(python, java, 'peak'), _difference(python, java)]
        rows.append(row)
    title = f'**{bench}**' + (': ' + ', '.join(f'{name} {_text(value)}' for name, value in constant.items()) if constant else '')
    return '\n'.join([title, ''] + ['| ' + ' | '.join(row) + ' |' for row in [head, ['---'] * len(head)] + rows])


def _text(value):
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return '' if value is None else str(value)


def _number(value):
    return f'{value:.0f}' if value >= 100 else f'{value:.3g}'


def _speed(side, scale):
    if side is None:
        return '-'
    mark = '*' if side['disturbed'] else ''
    return f"{_number(side['speed'] / scale)}{mark} ({_number(side['least'] / scale)} to {_number(side['most'] / scale)}, {side['kept']} of {side['of']})"


def _ratio(python, java, figure):
    return f'{java[figure] / python[figure]:.2f}' if python and java and python[figure] and java[figure] else '-'


def _mebibytes(side):
    return f"{side['peak'] / 2**20:.0f}" if side and side['peak'] else '-'


def _difference(python, java):
    if not python or not java or python['first_loss'] is None or java['first_loss'] is None:
        return '-'
    return f"{java['first_loss'] - python['first_loss']:+.1e}"
