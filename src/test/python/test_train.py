"""./jqlora train as a user has it: a command that is stopped by Ctrl-C, goes on and ends, and one that is misspelt."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

HOME = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
SMALL = ["--max_steps", "8", "--max_train_samples", "16", "--max_eval_samples", "2", "--lora_r", "2", "--lora_modules", "q_proj", "--max_new_tokens", "3",
         "--logging_steps", "1", "--device", "cpu"]


class TrainTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="jqlora train ")
        self.addCleanup(shutil.rmtree, self.folder)

    def command(self, *options):
        return [os.path.join(HOME, "jqlora"), "train", *SMALL, *options]

    def train(self, *options):
        return subprocess.run(self.command(*options), capture_output=True, text=True, cwd=self.folder, stdin=subprocess.DEVNULL)

    def read(self, *names):
        with open(os.path.join(self.folder, *names), "rb") as file:
            return file.read()

    def stopped(self, number):
        """Starts a run, sends the signal after its second step, and returns the status and what was printed."""
        printed = []
        # tests that a shell runs in the background are born with SIGINT ignored, and so would be what they start
        with subprocess.Popen(self.command("--output_dir", "stopped"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=self.folder,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
            for line in process.stdout:
                printed.append(line)
                if line.startswith("step 2/8, "):
                    process.send_signal(number)
            return process.wait(), "".join(printed)

    @unittest.skipIf(os.environ.get("JQLORA_FAST"), "slow")
    def test_a_stopped_run_goes_on_to_the_same_adapter(self):
        status, printed = self.stopped(signal.SIGINT)
        self.assertEqual(status, 130, printed)
        self.assertIn("stopping after this step\n", printed)
        self.assertRegex(printed, r"\nstopped after step [23], which is saved in stopped; the same command goes on there\n\Z")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "stopped", "adapter_model.safetensors")))
        second, alone = self.train("--output_dir", "stopped"), self.train()
        self.assertEqual([second.returncode, alone.returncode], [0, 0], second.stderr + alone.stderr)
        self.assertRegex(second.stdout, r"; it goes on at step [34]\n")
        self.assertEqual(self.read("stopped", "adapter_model.safetensors"), self.read("output", "adapter_model.safetensors"))
        self.assertEqual(json.loads(self.read("output", "train_config.json"))["lora_modules"], "q_proj")
        self.assertEqual(json.loads(self.read("output", "eval_results.json")), json.loads(self.read("stopped", "eval_results.json")))

    def test_a_misspelt_option_is_answered_in_a_sentence(self):
        answer = self.train("--lora_rank", "8")
        self.assertEqual([answer.returncode, answer.stdout], [2, ""])
        self.assertIn('train: --lora_rank is no option; near it: "lora_r"; ./jqlora train --help shows all of them\n', answer.stderr)
        self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    unittest.main()
