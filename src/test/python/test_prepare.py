"""The parts of models/smollm2/prepare.py that need no Python stack."""
import contextlib
import hashlib
import io
import json
import os
import struct
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..', 'models', 'smollm2'))
import prepare


class PrepareTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def model(self, folder):
        """A safetensors file of two tensors, b before a; returns the hash of their names and bytes in the order a, b."""
        os.makedirs(folder, exist_ok=True)
        header = json.dumps({'__metadata__': {'format': 'pt'}, 'b': {'dtype': 'U8', 'shape': [2], 'data_offsets': [0, 2]}, 'a': {'dtype': 'U8', 'shape': [1], 'data_offsets': [2, 3]}}).encode()
        with open(os.path.join(folder, 'model.safetensors'), 'wb') as file:
            file.write(struct.pack('<Q', len(header)) + header + b'\1\2\3')
        return hashlib.sha256(b'a\3b\1\2').hexdigest()

    def prepare(self, folder, **replaced):
        with mock.patch.multiple(prepare, **replaced), contextlib.redirect_stdout(io.StringIO()) as printed:
            prepare.prepare(folder)
        return printed.getvalue()

    def test_a_folder_with_the_right_tensors_is_complete(self):
        right = self.model(os.path.join(self.folder, 'model'))
        self.assertIn('complete', self.prepare(os.path.join(self.folder, 'model'), TENSORS_SHA256=right))

    def test_a_folder_with_other_tensors_is_refused_with_both_hashes(self):
        found = self.model(self.folder)
        with self.assertRaisesRegex(ValueError, f'{found}, must be {prepare.TENSORS_SHA256}'):
            prepare.prepare(self.folder)

    def test_a_folder_without_a_model_is_refused(self):
        with self.assertRaisesRegex(ValueError, 'no model.safetensors'):
            prepare.prepare(self.folder)

    def test_a_new_folder_appears_whole_and_nothing_else_stays(self):
        right, target = self.model(os.path.join(self.folder, 'sample')), os.path.join(self.folder, 'new', 'model')
        self.assertIn('ready', self.prepare(target, download=lambda work: os.path.join(work, 'x.gguf'), convert=lambda gguf, made: self.model(made), TENSORS_SHA256=right))
        self.assertEqual(os.listdir(os.path.join(self.folder, 'new')), ['model'])

    def test_a_wrong_conversion_leaves_nothing(self):
        with self.assertRaisesRegex(ValueError, 'must be ' + prepare.TENSORS_SHA256):
            self.prepare(os.path.join(self.folder, 'new', 'model'), download=lambda work: work, convert=lambda gguf, made: self.model(made))
        self.assertEqual(os.listdir(os.path.join(self.folder, 'new')), [])


if __name__ == '__main__':
    unittest.main()
