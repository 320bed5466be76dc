"""The parts of the benchmarks that need no Python stack: tokens, clock, memory, pairing and tables."""
import contextlib
import io
import json
import os
import shlex
import sys
import tempfile
import unittest
from unittest import mock

BENCHMARKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..', 'benchmarks')
sys.path[:0] = [BENCHMARKS, os.path.join(BENCHMARKS, 'python')]
import busy
import measure
import run
import table


def line(side, seconds, others=None, bench='step', work=512, **more):
    made = {'bench': bench, 'side': side, 'setting': {'model': 'm', 'batch': more.pop('batch', 1), 'recompute': False}, 'work': work, 'seconds': seconds, **more}
    return made if others is None else {**made, 'others': others}


class MeasureTest(unittest.TestCase):
    def test_tokens_are_those_of_the_readme(self):
        with open(os.path.join(BENCHMARKS, 'README.md')) as file:
            text = file.read()
        self.assertIn(str(measure.MULTIPLIER), text)
        self.assertIn(str(measure.INCREMENT), text)
        self.assertIn('`' + ', '.join(map(str, measure.tokens(0, 6, 32000))) + '`', text)

    def test_tokens_stay_in_the_vocabulary_and_depend_on_the_seed(self):
        self.assertEqual(set(measure.tokens(3, 500, 7)), set(range(7)))
        self.assertNotEqual(measure.tokens(0, 50, 1000), measure.tokens(1, 50, 1000))

    def test_status_bytes(self):
        self.assertEqual(measure.status_bytes('VmHWM', 'VmPeak:\t  9 kB\nVmHWM:\t     12 kB\n'), 12 * 1024)
        with self.assertRaisesRegex(ValueError, 'no field VmNone'):
            measure.status_bytes('VmNone', 'VmHWM:\t1 kB\n')

    def test_the_peak_falls_at_a_reset(self):
        block = bytearray(200 << 20)
        peak = measure.status_bytes('VmHWM')
        del block
        measure.reset_peak()
        self.assertLess(measure.status_bytes('VmHWM'), peak - (150 << 20))

    def test_busy_seconds_leaves_out_idle_and_iowait(self):
        self.assertAlmostEqual(measure.busy_seconds('cpu 100 10 20 999 999 3 4 5 0 0'), 142 / os.sysconf('SC_CLK_TCK'))

    def clock(self):
        """A clock in the place of the real ones; returns a function that lets time pass: wall, own CPU and all CPU seconds."""
        now = [0.0, 0.0, 0.0]
        for target, name, index in ((measure.time, 'perf_counter', 0), (measure.time, 'process_time', 1), (measure, 'busy_seconds', 2)):
            patch = mock.patch.object(target, name, lambda index=index: now[index])
            patch.start()
            self.addCleanup(patch.stop)

        def passes(*seconds):
            now[:] = [then + more for then, more in zip(now, seconds)]
        return passes

    def test_stopwatch_does_not_count_its_own_work_as_that_of_others(self):
        passes, watch = self.clock(), measure.Stopwatch()
        self.assertEqual(watch.time(lambda: passes(2, 3, 4) or 'result'), 'result')
        watch.time(lambda: passes(4, 4, 3.99))  # the ticks of the clocks may disagree
        self.assertEqual((watch.seconds, watch.others), ([2, 4], [0.5, 0]))

    def test_until_divides_by_the_calls_of_a_round_and_is_not_misled_by_a_slow_first_call(self):
        passes, calls = self.clock(), []

        def call():
            calls.append(None)
            passes(*[8 if len(calls) == 1 else 0.25] * 3)
        watch = measure.until(4, call, least=1)
        self.assertEqual((watch.seconds, watch.others, len(calls)), ([0.25] * 4, [0] * 4, 5 + 4 * 4))

    def test_emit_prints_a_line_that_the_runner_takes(self):
        watch = measure.Stopwatch()
        watch.time(lambda: None)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            measure.emit('matmul', {'dtype': 'float32'}, 8, watch, {}, 2, {'python': '3'})
        parsed, = run.parse('python', 'matmul', printed.getvalue())
        self.assertEqual((parsed['setting'], parsed['work'], parsed['threads']), ({'dtype': 'float32'}, 8, 2))


class TableTest(unittest.TestCase):
    def test_disturbed_repetitions_do_not_count(self):
        pooled = table.pool([line('python', [1, 2, 100], [0, 0.05, 1.5]), line('python', [3], [0])], quiet=0.1)
        side, = [sides['python'] for sides in pooled['step'].values()]
        self.assertEqual((side['speed'], side['least'], side['most'], side['kept'], side['of'], side['disturbed']), (256, 512 / 3, 512, 3, 4, False))

    def test_if_all_are_disturbed_all_count_and_are_marked(self):
        text = table.markdown([line('python', [1, 2, 4], [1, 1, 1])], quiet=0.1)
        self.assertIn('| 256* (128 to 512, 0 of 3) |', text)

    def test_a_line_without_others_counts(self):
        self.assertIn('(128 to 256, 2 of 2)', table.markdown([line('java', [2, 4])], quiet=0.1))

    def test_both_sides_stand_in_one_row_with_ratios(self):
        text = table.markdown([line('python', [2], losses=[10.5], peak_bytes=200 << 20), line('python', [2], batch=4),
                               line('java', [1], losses=[10.75, 3], peak_bytes=50 << 20)], quiet=0.1)
        self.assertEqual(text.splitlines()[2:], [
            '| batch | Python tokens/s | Java tokens/s | Java / Python | Python peak MiB | Java peak MiB | Java / Python | first loss, Java - Python |',
            '| --- | --- | --- | --- | --- | --- | --- | --- |',
            '| 1 | 256 (256 to 256, 1 of 1) | 512 (512 to 512, 1 of 1) | 2.00 | 200 | 50 | 0.25 | +2.5e-01 |',
            '| 4 | 256 (256 to 256, 1 of 1) | - | - | - | - | - | - |'])
        self.assertEqual(text.splitlines()[0], '**step**: model m, recompute no')

    def test_settings_match_whatever_the_order_of_their_names(self):
        other = line('java', [1])
        other['setting'] = dict(reversed(other['setting'].items()))
        self.assertEqual(len(table.pool([line('python', [1]), other], 0.1)['step']), 1)


class RunTest(unittest.TestCase):
    def test_jobs_are_the_options_of_both_sides(self):
        jobs = list(run.jobs(run.arguments(['--benches', 'step,matmul', '--dtypes', 'float32', '--model', 'm', '--r', '8', '--seconds', '1'])))
        self.assertEqual(len(jobs), 5)
        self.assertEqual(jobs[1], ('step', ['--dtype', 'float32', '--batch', '1', '--length', '512', '--recompute', '--model', 'm', '--r', '8', '--steps', '4']))
        self.assertEqual(jobs[-1], ('matmul', ['--seconds', '1']))

    def test_a_side_that_is_not_there_is_left_out(self):
        self.assertEqual(run.sides(run.arguments(['--python', '/none', '--java', '/none'])), {})
        found = run.sides(run.arguments(['--python', sys.executable, '--java', f'{shlex.quote(sys.executable)} -m x']))
        self.assertEqual(found['java']('step'), [sys.executable, '-m', 'x', 'bench', 'step'])
        self.assertEqual([os.path.basename(part) for part in found['python']('step')], [os.path.basename(sys.executable), 'qlora_step.py'])

    def test_what_is_not_a_line_of_the_bench_is_refused(self):
        self.assertEqual(run.parse('java', 'step', '\n' + json.dumps(line('java', [1])) + '\n'), [line('java', [1])])
        for wrong in (line('python', [1]), line('java', [1], bench='matmul'), line('java', [])):
            with self.assertRaisesRegex(ValueError, 'java step'):
                run.parse('java', 'step', json.dumps(wrong))

    def test_both_sides_run_alternately_and_a_failing_one_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            java = os.path.join(folder, 'jqlora')
            with open(java, 'w') as file:
                file.write(f'#!/bin/sh\n[ "$2" = matmul ] || {{ echo broken >&2; exit 3; }}\necho \'{json.dumps(line("java", [1], bench="matmul", work=2e9))}\'\n')
            os.chmod(java, 0o755)
            lines, printed = os.path.join(folder, 'lines.jsonl'), io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()), self.assertRaisesRegex(SystemExit, 'java quantize --seconds 0.5: exit status 3: broken'):
                run.main(['--benches', 'matmul,quantize', '--python', '/none', '--java', java, '--rounds', '2', '--patience', '0', '--lines', lines])
            self.assertIn('| 2 (2 to 2, 2 of 2) |', printed.getvalue())
            with open(lines) as file:
                self.assertEqual(len(file.readlines()), 2)

    def test_neither_side_is_an_error(self):
        with self.assertRaisesRegex(SystemExit, 'neither /none nor /nowhere'):
            run.main(['--python', '/none', '--java', '/nowhere'])



class BusyTest(unittest.TestCase):
    def test_a_step_runs_in_every_company_on_one_thread_and_on_all(self):
        ran = []

        def step(command, **_):
            ran.append(command)
            threads = int(command[command.index('--threads') + 1])
            return mock.Mock(returncode=0, stdout='note\n' + json.dumps({'seconds': [1.0 / threads, 3.0 / threads, 2.0 / threads]}) + '\n')

        beside = [sys.executable, '-c', 'import time; time.sleep(60)']
        with mock.patch.object(busy, 'processors', lambda: 4), mock.patch.object(busy, 'beside', lambda *_: [beside]), contextlib.redirect_stderr(io.StringIO()):
            seconds = busy.measure(['bench'], 'folder', 2, run=step)
        self.assertEqual(len(ran), 2 * 3 * 2)
        self.assertEqual(ran[0][:3], ['bench', '--model', 'folder'])
        self.assertEqual(set(seconds), {(what, threads) for what in busy.BESIDE for threads in (1, 4)})
        rows = busy.markdown(seconds).splitlines()
        self.assertEqual(rows[0], '| beside | 1 thread, s | 4 threads, s | 4 / better |')
        self.assertEqual(rows[2], '| nothing | 2.000 | 0.500 | 1.00 |')
        self.assertEqual(busy.markdown({('nothing', 1): [1.0], ('nothing', 2): [1.5]}).splitlines()[2], '| nothing | 1.000 | 1.500 | 1.50 |')

    def test_what_runs_beside_a_step(self):
        def arguments(steps):
            return ['--steps', str(steps)]
        self.assertEqual(busy.beside('nothing', ['bench'], arguments), [])
        self.assertEqual(len(busy.beside(busy.BESIDE[1], ['bench'], arguments)), busy.processors())
        self.assertEqual(busy.beside('a second step', ['bench'], arguments), [['bench', '--steps', '1000']])

    def test_companions_end_with_what_they_started(self):
        with busy.companions([['sh', '-c', 'sleep 60 & sleep 60']]):
            pass
        with self.assertRaisesRegex(RuntimeError, 'ended before the step beside it: true'):
            with busy.companions([['true']]):
                import time
                time.sleep(0.5)


if __name__ == '__main__':
    unittest.main()
