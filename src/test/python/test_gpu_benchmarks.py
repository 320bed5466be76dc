"""The benchmarks of the GPU as far as they need none: arguments, parts, the runner with programs in the place of Java and Python, the card, the tables."""
import argparse
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..')
GPU = os.path.join(ROOT, 'benchmarks', 'gpu')
sys.path[:0] = [GPU, os.path.join(GPU, 'python')]
import all as runner
import gpu_card
import gpu_parts
import gpu_table
import rows


def step(setting='1x512', **figures):
    return {'bench': 'step', 'setting': setting, 'began': 1.0, 'ended': 6.0, **figures}


def result(*of_rows, status='ok', **more):
    return {'status': status, 'seconds': 10.0, 'card': {}, 'rows': list(of_rows), **more}


def refused(parse, *given):
    """What argparse says of wrong arguments."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        parse(*given)
    return said.getvalue()


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def program(self, name, text):
        with open(self.path(name), 'w') as file:
            file.write(text)
        os.chmod(self.path(name), 0o755)
        return self.path(name)


class TableTest(unittest.TestCase):
    def row(self, parts, start):
        return next([cell.strip() for cell in line.split('|')[1:-1]] for line in gpu_table.markdown(parts).splitlines() if line.startswith(f'| {start}'))

    def test_a_step_stands_beside_the_python_stack_and_the_floor(self):
        parts = {'floor': result(step(bench='floor', products='bf16', ms=30.0), step(bench='floor', products='fp8', ms=20.0)),
                 'bf16': result(step(ms=40.0, tokens_per_s=12800.4, taken_bytes=8.64e9)), 'fp8': result(step(ms=25.0, tokens_per_s=20480.0, taken_bytes=9e9)),
                 'python': result(step(tokens_per_s=2000.0, peak_bytes=15e9)), 'python-checkpointing': result(step('4x2048', tokens_per_s=1000.0, peak_bytes=1e10))}
        self.assertEqual(self.row(parts, '1×512'), ['1×512', '12 800', '8.6', '75 %', '20 480', '9.0', '80 %', '2 000', '15.0', '-', '-', '6.40', '10.24', '-'])
        self.assertEqual(self.row(parts, '4×2048')[-5:], ['1 000', '10.0', '-', '-', '-'])

    def test_what_is_missing_says_why(self):
        parts = {'bf16': result(step(ms=40.0, tokens_per_s=12800.0, taken_bytes=8e9), status='failed'), 'python': result(step('4x512', out_of_memory=True))}
        self.assertEqual(self.row(parts, '1×512')[:9], ['1×512', '12 800', '8.0', 'n/a', '-', '-', 'n/a', '-', '-'])
        self.assertEqual(self.row(parts, '4×512')[:9], ['4×512', 'failed', 'failed', 'n/a', '-', '-', 'n/a', 'out of memory', 'out of memory'])
        self.assertIn('**Failed: bf16.**', gpu_table.markdown(parts))

    def test_other_settings_and_their_floor(self):
        parts = {'floor': result(step('1x8192', bench='floor', products='bf16', ms=450.0), step('4x2048', bench='floor', products='bf16', ms=400.0)),
                 'fastest': result(step('1x8192', ms=500.0, tokens_per_s=16384.0, taken_bytes=33e9, host_bytes=0)),
                 'host': result(step('4x2048', ms=600.0, tokens_per_s=13653.0, taken_bytes=8e9, host_bytes=2.2e9)), '70b': result(status='failed')}
        self.assertEqual(self.row(parts, '1×8192, attention')[1:], ['500', '16 384', '33.0', '0.0', '90 %'])
        self.assertEqual(self.row(parts, '4×2048, every layer')[1:], ['600', '13 653', '8.0', '2.2', 'n/a'])  # computes more than the floor
        self.assertEqual(self.row(parts, '1×2048, Llama-3-70B')[1:], ['failed'] * 4 + ['n/a'])
        self.assertNotIn('32768', gpu_table.markdown(parts))

    def test_decoding_is_compared_with_the_same_adapter(self):
        parts = {'decode': result({'bench': 'decode', 'what': 'greedy', 'ms': 2.78, 'tokens_per_s': 360, 'whole_tokens_per_s': 353},
                                  {'bench': 'decode', 'what': 'greedy, LoRA r = 16', 'ms': 3.31, 'tokens_per_s': 302, 'whole_tokens_per_s': 300}),
                 'python-other': result({'bench': 'decode', 'what': 'greedy, LoRA r = 16', 'whole_tokens_per_s': 10.0})}
        self.assertEqual(self.row(parts, 'greedy |'), ['greedy', '2.78', '360', '353', '-', '-'])
        self.assertEqual(self.row(parts, 'greedy, LoRA'), ['greedy, LoRA r = 16', '3.31', '302', '300', '10.0', '30.0'])
        self.assertEqual(self.row({'python-other': parts['python-other']}, 'greedy, LoRA')[1:], ['-', '-', '-', '10.0', '-'])
        self.assertEqual(self.row({'decode': result(status='failed')}, 'greedy')[1:], ['failed'] * 3 + ['-', '-'])

    def test_loading_merging_and_the_codec(self):
        parts = {'load': result({'bench': 'load', 'seconds': 1.75}, {'bench': 'load', 'seconds': 0.96}),
                 'merge': result({'bench': 'load', 'seconds': 1.0}, {'bench': 'merge', 'what': 'ONTO_BASE', 'seconds': 0.073}, {'bench': 'merge', 'what': 'ONTO_BASE', 'seconds': 0.034}),
                 'codec': result({'bench': 'codec', 'what': 'decode', 'ms': 0.04, 'tb_per_s': 3.6}, {'bench': 'codec', 'what': 'AdamW', 'ms': 0.4}),
                 'python-other': result({'bench': 'merge', 'seconds': 21.0}, {'bench': 'codec', 'what': 'decode', 'ms': 0.06, 'tb_per_s': 2.4}, {'bench': 'codec', 'what': 'encode', 'ms': 1, 'tb_per_s': 0.1})}
        self.assertEqual(self.row(parts, '16 GB')[1:], ['1.750, 0.960'])
        self.assertEqual(self.row(parts, 'merge, `ONTO')[1:], ['0.073, 0.034'])
        self.assertEqual(self.row(parts, 'Python: `merge')[1:], ['21.0'])
        self.assertEqual(self.row(parts, 'decode')[1:], ['0.040', '3.60', '0.060', '2.40', '1.50'])
        self.assertEqual(self.row(parts, 'AdamW')[1:], ['0.400', '-', '-', '-', '-'])
        self.assertEqual(self.row(parts, 'encode')[1:], ['-', '-', '1.000', '0.10', '-'])
        self.assertEqual(self.row({'load': result(status='failed')}, '16 GB')[1:], ['failed'])

    def test_the_head_names_the_card_and_the_versions(self):
        text = gpu_table.markdown({'bf16': result({'bench': 'versions', 'versions': {'Java': '25'}}, card={'sm_mhz': 1500.4, 'watts': 690, 'memory_mib': 32000})},
                                  {'name': 'NVIDIA H200', 'driver': '580.1', 'power_limit_w': 700.0, 'most_sm_mhz': None})
        self.assertTrue(text.startswith('NVIDIA H200, driver 580.1, power limit 700 W, Java 25.\n'), text)
        self.assertIn('| bf16 | 10 | 1500 | 690 | 33.6 |', text)

    def test_every_row_of_a_table_has_as_many_cells_as_its_head(self):
        failed = {part.name: result(status='failed') for part in gpu_parts.parts(True, 'c')}
        for parts in (failed, {}, {'bf16': result()}):
            for lines in gpu_table.markdown(parts).split('\n\n'):
                self.assertLessEqual(len({line.count('|') for line in lines.splitlines()}), 1, lines)

    def test_the_figures_and_names_are_those_of_the_benches(self):
        java = ''.join(file.read_text() for file in pathlib.Path(GPU, 'jqlora').rglob('*.java'))
        for name in ('ms', 'tokens_per_s', 'taken_bytes', 'host_bytes', 'whole_tokens_per_s', 'what', 'seconds', 'tb_per_s', 'setting'):
            self.assertIn(f'addProperty("{name}"', java)
        for what in ('encode BF16, absmax in 32 bits', 'encode BF16, double quantization, waited for', 'decode, absmax in 32 bits', 'decode, double quantization'):
            self.assertIn(f'"{what}"', java)


class CardTest(Folder):
    def test_means_are_those_of_the_windows(self):
        samples = [(1.0, {'sm_mhz': 2000.0, 'watts': 100.0, 'memory_mib': 1.0}), (2.0, {'sm_mhz': 1500.0, 'watts': 600.0, 'memory_mib': 5.0}),
                   (3.0, {'sm_mhz': 1400.0, 'watts': None, 'memory_mib': 4.0}), (9.0, {'sm_mhz': 1.0, 'watts': 1.0, 'memory_mib': 9.0})]
        self.assertEqual(gpu_card.means(samples, [(1.5, 2.5), (2.9, 3.1)]), {'sm_mhz': 1450, 'watts': 600, 'memory_mib': 5})
        self.assertEqual(gpu_card.means(samples, [(4, 5)]), {})

    def test_it_is_asked_again_and_again(self):
        smi = self.program('smi', '#!/bin/sh\ncase "$2" in *name*) echo "A card, 580.1, 1000, [N/A], 1980" ;; *) echo "1500, 690.5, 1000" ;; esac\n')
        self.assertEqual(gpu_card.describe('0', smi), {'name': 'A card', 'driver': '580.1', 'memory_mib': 1000, 'power_limit_w': None, 'most_sm_mhz': 1980})
        with gpu_card.Watch('0', 0.01, smi) as watch:
            end = time.monotonic() + 20
            while len(watch.samples) < 3 and time.monotonic() < end:
                time.sleep(0.01)
        self.assertGreaterEqual(len(watch.samples), 3)
        self.assertEqual(watch.samples[0][1], {'sm_mhz': 1500, 'watts': 690.5, 'memory_mib': 1000})

    def test_without_nvidia_smi_nothing_is_known(self):
        self.assertEqual(gpu_card.describe('0', '/none'), {})
        with gpu_card.Watch('0', 0.01, self.program('smi', '#!/bin/sh\nexit 9\n')) as watch:
            watch.thread.join(20)
        self.assertEqual(watch.samples, [])

    def test_the_first_visible_card(self):
        self.assertEqual([gpu_card.first_visible(of) for of in ({}, {'CUDA_VISIBLE_DEVICES': '3,1'}, {'CUDA_VISIBLE_DEVICES': ''})], ['0', '3', '0'])


class ArgumentsTest(unittest.TestCase):
    def test_skip_and_only(self):
        names = lambda *given: [part.name for part in runner.selected(runner.arguments(given))]
        everything = names()
        self.assertEqual(names('--skip', 'floor,python'), [name for name in everything if name not in ('floor', 'python')])
        self.assertEqual(names('--only', 'codec,bf16'), ['bf16', 'codec'])
        self.assertRegex(refused(runner.arguments, ['--skip', 'codec,nothing']), 'nothing: no such part; there are floor, bf16')
        self.assertRegex(refused(runner.arguments, ['--seconds', '0']), '--seconds is 0.0, it must be more than 0')

    def test_quick_is_shorter(self):
        full, quick = ({part.name: part.arguments for part in runner.selected(runner.arguments(given))} for given in ([], ['--quick']))
        self.assertEqual(full.keys(), quick.keys())
        self.assertIn('seconds=5', quick['bf16'])
        self.assertIn('seconds=10', full['bf16'])
        self.assertEqual(quick['python-checkpointing'][2], '1x2048,4x2048')
        self.assertEqual(full['python-checkpointing'][2], '1x512,4x512,1x2048,4x2048,1x8192')
        self.assertIn('seconds=2.5', {part.name: part.arguments for part in runner.selected(runner.arguments(['--seconds', '2.5']))}['long'])

    def test_python_scripts_take_what_they_are_given(self):
        import floor
        import step as step_script
        for part in gpu_parts.parts(True, 'c'):
            if part.side == 'python':
                script = {'floor.py': floor, 'step.py': step_script}[part.arguments[0]]
                parsed = script.arguments(part.arguments[1:] + ['--json', 'f'])
                self.assertEqual((parsed.json, parsed.device, parsed.model), ('f', 'cuda', '8b'))
                self.assertEqual(parsed.settings[0], (1, 2048) if part.name == 'python-checkpointing' else (1, 512))
        self.assertIn("'quantise', it must be of step, generate, merge, quantize", refused(step_script.arguments, ['--parts', 'quantise']))
        self.assertIn("'fp4', it must be of bf16, fp8", refused(floor.arguments, ['--products', 'fp4']))

    def test_settings(self):
        self.assertEqual(rows.settings('1x512,16x32'), [(1, 512), (16, 32)])
        for wrong in ('512', '0x512', '1x', '1x512,', 'axb', '1x-2'):
            with self.assertRaisesRegex(argparse.ArgumentTypeError, re.escape(f'"{wrong}", it must be sequences x tokens')):
                rows.settings(wrong)

    def test_java_benches_take_what_they_are_given(self):
        with open(runner.RUN) as file:
            benches = set(re.findall(r'^  (\w+)\) ', file.read(), re.MULTILINE))
        for part in gpu_parts.parts(True, 'c'):
            if part.side == 'java':
                self.assertIn(part.arguments[0], benches)
                self.assertTrue(all('=' in argument for argument in part.arguments[1:]), part)

    def test_scripts_say_what_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            for script in ('step.py', 'floor.py'):  # -S: no site-packages, so no torch
                done = subprocess.run([sys.executable, '-S', os.path.join(GPU, 'python', script)], capture_output=True, text=True, cwd=folder)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, f'^{script}: .* has no torch.*; .* -m pip install -r .*requirements.txt\n$')

    def test_the_requirements_are_those_of_the_cpu_benchmarks(self):
        with open(os.path.join(GPU, 'python', 'requirements.txt')) as file, open(os.path.join(ROOT, 'benchmarks', 'python', 'requirements.txt')) as others:
            self.assertLessEqual(set(file.read().split()), set(others.read().split()))


class RunnerTest(Folder):
    """Java is a program that writes a row, or does what its part's name in `behaviour` says; so is Python."""
    PROGRAM = '''#!/bin/sh
echo "$@" >> {calls}
for last; do :; done
file=${{last#json=}}
echo hello from $1
case "$*" in {behaviour} esac
echo '{row}' >> "$file"
'''

    def run_all(self, *given, behaviour='', row=None):
        row = row or json.dumps(step(ms=40.0, tokens_per_s=12800.0, taken_bytes=8e9))
        program = self.program('program', self.PROGRAM.format(calls=self.path('calls'), behaviour=behaviour, row=row))
        printed, said, self.status = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said), mock.patch.object(runner, 'CHECKPOINT', self.path('checkpoint')), \
                mock.patch.dict(os.environ, {'JQLORA_CUDA': ''}):
            try:
                runner.main(['--java', f'{shlex.quote(program)} "-Dx=a b"', '--python', program, '--out', self.path('out'), *given])
            except SystemExit as ended:
                self.status = ended.code
        self.said = said.getvalue()
        return printed.getvalue()

    def calls(self):
        with open(self.path('calls')) as file:
            return file.read().splitlines()

    def stored(self, name):
        with open(self.path(f'out/{name}')) as file:
            return json.load(file) if name.endswith('.json') else file.read()

    def test_parts_run_in_turn_and_their_table_is_printed_and_stored(self):
        printed = self.run_all('--only', 'bf16,python', '--quick')
        self.assertEqual(self.status, 0)
        java, python = self.calls()
        self.assertEqual(java, f'-Dx=a b jqlora.bench.GpuStepBench settings=1x512,4x512,1x2048,4x2048,1x8192 seconds=5 json={self.path("out/bf16.rows")}')
        self.assertRegex(python, r'/step\.py --settings 1x512,\S+ --seconds 5 --checkpointing false --json \S+/python\.rows$')
        self.assertIn('| 1×512 | 12 800 | 8.0 | n/a |', printed)
        self.assertEqual(printed, self.stored('table.md'))
        self.assertIn('hello from', self.stored('bf16.log'))
        self.assertEqual({key: self.stored('bf16.json')[key] for key in ('part', 'side', 'status', 'message')}, {'part': 'bf16', 'side': 'java', 'status': 'ok', 'message': None})
        self.assertEqual(list(self.stored('results.json')['parts']), ['bf16', 'python'])
        self.assertRegex(self.said, r'\[ +\d+ s\] 1 of 2, bf16: step settings=')
        self.assertEqual(sorted(os.listdir(self.path('out'))), ['bf16.json', 'bf16.log', 'python.json', 'python.log', 'results.json', 'table.md'])

    def test_a_result_that_is_there_is_not_measured_again(self):
        self.run_all('--only', 'codec,bf16')
        printed = self.run_all('--only', 'codec,bf16')
        self.assertEqual(len(self.calls()), 2)
        self.assertIn('already there: bf16, codec', self.said)
        self.assertIn('12 800', printed)
        self.run_all('--only', 'codec,bf16', '--again')
        self.assertEqual(len(self.calls()), 4)
        self.run_all('--only', 'codec,bf16', '--seconds', '1')  # other arguments: another figure
        self.assertEqual(len(self.calls()), 5)

    def test_a_part_that_fails_does_not_stop_the_others_and_runs_again_the_next_time(self):
        printed = self.run_all('--only', 'bf16,fp8,codec', behaviour='*FP8*) echo broken; exit 3 ;; *Codec*) exit 0 ;;')
        self.assertRegex(self.status, 'all.py: failed: fp8, codec; their logs are in ')
        self.assertRegex(self.said, r'failed after \d+ s: exit status 3; fp8.log ends with: broken')
        self.assertEqual(self.stored('codec.json')['message'], 'measured nothing')
        self.assertIn('**Failed: fp8, codec.**', printed)
        self.assertIn('| 1×512 | 12 800 | 8.0 | n/a | failed | failed | n/a |', printed)
        self.run_all('--only', 'bf16,fp8,codec')
        self.assertEqual((self.status, len(self.calls())), (0, 5))

    def test_a_part_that_takes_too_long_is_ended_with_what_it_started_and_keeps_its_rows(self):
        self.run_all('--only', 'bf16', '--limit', '1', behaviour=f'''*) echo '{json.dumps(step(ms=1.0))}' >> "$file"; printf '{{"bench"' >> "$file"; sleep 60 & echo $! > {self.path("pid")}; wait ;;''')
        self.assertIn('took more than 1 s', self.said)
        self.assertEqual([row['ms'] for row in self.stored('bf16.json')['rows']], [1.0])
        with open(self.path('pid')) as file:
            pid = file.read().strip()

        def alive():
            try:
                return pathlib.Path(f'/proc/{pid}/stat').read_text().split()[2] != 'Z'
            except OSError:
                return False
        end = time.monotonic() + 20
        while alive() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertFalse(alive())

    def test_the_checkpoint_is_removed_unless_it_is_named(self):
        for given, left in (([], False), (['--checkpoint', self.path('checkpoint')], True)):
            os.makedirs(self.path('checkpoint'), exist_ok=True)
            self.run_all('--only', 'load', '--again', *given)
            self.assertEqual(os.path.exists(self.path('checkpoint')), left)

    def test_a_python_that_is_not_there_is_a_part_that_failed(self):
        self.run_all('--only', 'floor', '--python', '/none')
        self.assertRegex(self.status, 'failed: floor')
        self.assertIn("No such file or directory: '/none'", self.said)


@unittest.skipUnless(importlib.util.find_spec('bitsandbytes'), 'the Python stack is not installed')
class StackTest(Folder):
    """The scripts themselves, on the processor and a tiny shape; half a minute."""

    def measured(self, script, *given):
        done = subprocess.run([sys.executable, os.path.join(GPU, 'python', script), '--device', 'cpu', '--model', 'tiny', '--seconds', '0.1', '--json', self.path('rows'), *given],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return runner.read_rows(self.path('rows'))

    def test_steps_answer_merge_and_codec(self):
        found = self.measured('step.py', '--settings', '1x32,2x16', '--checkpointing', 'true', '--parts', 'step,generate,merge,quantize', '--tokens', '4')
        self.assertEqual([row['bench'] for row in found], ['versions'] + ['codec'] * 4 + ['step'] * 2 + ['decode', 'merge'])
        self.assertLessEqual({'torch', 'transformers', 'peft', 'bitsandbytes'}, found[0]['versions'].keys())
        steps = [row for row in found if row['bench'] == 'step']
        self.assertEqual([(row['setting'], row['checkpointing'], row['steps'] >= 2) for row in steps], [('1x32', True, True), ('2x16', True, True)])
        for row in steps:  # random weights: about the logarithm of the vocabulary, 1000
            self.assertAlmostEqual(row['loss'], 6.9, delta=0.5)
            self.assertGreater(row['norm'], 0)
            self.assertAlmostEqual(row['tokens_per_s'] * row['ms'], 32e3, delta=1)
            self.assertGreaterEqual(row['ended'] - row['began'], 0.1)

    def test_the_floor(self):
        found = self.measured('floor.py', '--settings', '1x32')
        self.assertEqual([(row['bench'], row.get('products'), row.get('setting')) for row in found], [('versions', None, None), ('floor', 'bf16', '1x32'), ('floor', 'fp8', '1x32')])


if __name__ == '__main__':
    unittest.main()
