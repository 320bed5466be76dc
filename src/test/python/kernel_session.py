"""A running kernel for tests: cells in, outputs out, read from the channels as a front end reads them."""
import os
import subprocess
import time
import unittest
from dataclasses import dataclass, field
from queue import Empty

from jupyter_client.manager import KernelManager

# For tests of seven seconds and more
slow = unittest.skipIf(os.environ.get("JQLORA_FAST"), "./jqlora test --fast leaves slow tests out")


@dataclass
class Outputs:
    """What a cell sent until it was idle."""

    seconds: float = 0.0
    idle: bool = False
    stdout: str = ""
    stderr: str = ""
    messages: list = field(default_factory=list)

    def of(self, kind):
        return [content for message, content in self.messages if message == kind]

    @property
    def value(self):
        results = self.of("execute_result")
        if not results:
            raise AssertionError(f"the cell had no result, it sent {self.messages}")
        return results[0]["data"]["text/plain"]

    @property
    def error(self):
        errors = self.of("error")
        return errors[0] if errors else None


class KernelSession:
    def __init__(self, name="java-qlora"):
        self.manager = KernelManager(kernel_name=name)
        begin = time.perf_counter()
        self.manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.ready_seconds = time.perf_counter() - begin

    def run(self, code, timeout=120, interrupt_after=None, stdin=None):
        """Runs a cell and reads its outputs until it is idle; ``interrupt_after`` seconds it is interrupted once."""
        begin = time.perf_counter()
        request = self.client.execute(code, allow_stdin=stdin is not None)
        outputs = Outputs()
        while not outputs.idle and time.perf_counter() - begin < timeout:
            if interrupt_after is not None and time.perf_counter() - begin > interrupt_after:
                self.manager.interrupt_kernel()
                interrupt_after = None
            if stdin is not None and self.client.stdin_channel.msg_ready():
                self.client.get_stdin_msg(timeout=1)
                self.client.input(stdin)
            self._read(request, outputs)
        outputs.seconds = time.perf_counter() - begin
        return outputs

    def _read(self, request, outputs):
        try:
            message = self.client.get_iopub_msg(timeout=0.1)
        except Empty:
            return
        if message["parent_header"].get("msg_id") != request:
            return
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            setattr(outputs, content["name"], getattr(outputs, content["name"]) + content["text"])
        outputs.messages.append((kind, content))
        outputs.idle = kind == "status" and content["execution_state"] == "idle"

    def published(self, seconds):
        """What comes within ``seconds`` without a cell being run: (kind, content)."""
        end = time.perf_counter() + seconds
        messages = []
        while time.perf_counter() < end:
            try:
                message = self.client.get_iopub_msg(timeout=0.1)
            except Empty:
                continue
            if message["msg_type"] != "status":
                messages.append((message["msg_type"], message["content"]))
        return messages

    def ask(self, request):
        """The answer to a request that was sent on the shell channel."""
        while True:
            message = self.client.get_shell_msg(timeout=30)
            if message["parent_header"]["msg_id"] == request:
                return message["content"]

    def close(self):
        """Ends the kernel as Jupyter does and returns how many seconds that took."""
        begin = time.perf_counter()
        self.client.shutdown()
        while self.manager.is_alive() and time.perf_counter() - begin < 10:
            time.sleep(0.01)
        seconds = time.perf_counter() - begin
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        return seconds
