"""Every reader and parser, on the inputs that fuzzing has found so far and on changes of them."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from fuzzing.mutations import FORMS, mutate, random_change
from fuzzing.targets import TARGETS
from google.protobuf.message import DecodeError
from onnx import ModelProto

from support.crafted_files import entry, safetensors
from support.onnx_models import model, node, random_array, tensor
from support.paths import REPOSITORY

CORPUS = REPOSITORY / "fuzzing" / "corpus"
CHANGES = 60
MAX_BYTES = 16_384


def inputs(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_that_fuzzing_found_end_in_an_answer_or_an_error_of_filtercrawl(name: str) -> None:
    target = TARGETS[name]
    corpus = inputs(name)
    assert corpus
    for data in corpus:
        target.run(data)
    seed = 0 if os.environ.get("CI") else Random().randrange(2**32)
    random = Random(seed)
    change = random_change(random, corpus)
    for _ in range(CHANGES):
        data = mutate(random.choice(corpus), target.form, random, change, MAX_BYTES)
        try:
            target.run(data)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {data!r}") from error


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as whole:
        whole.writestr("a/data.pkl", pickle.dumps({"a": [1, 2]}, 2))
        whole.writestr("a/data/0", b"\0" * 36)
    return buffer.getvalue()


def keeps_zip(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        assert whole.testzip() is None


def keeps_safetensors(data: bytes) -> None:
    assert struct.unpack("<Q", data[:8])[0] <= len(data) - 8


VALID = {
    "zip": (archive(), keeps_zip),
    "safetensors": (safetensors({"w": entry([1, 1, 3, 3], 0, 36)}, bytes(36)), keeps_safetensors),
}


@pytest.mark.parametrize("form", VALID)
def test_changes_keep_the_form_of_an_input(form: str) -> None:
    data, check = VALID[form]
    random = Random(1)
    change = random_change(random, [data])
    results = set()
    for _ in range(100):
        changed = FORMS[form](data, random, change)
        results.add(changed)
        check(changed)
    assert len(results) > 50


def test_changes_of_pickles_keep_most_of_their_opcodes() -> None:
    data = pickle.dumps({"weight": np.zeros(3), "epoch": 3}, 2)
    random = Random(1)
    change = random_change(random, [data])
    changed = [FORMS["pickle"](data, random, change) for _ in range(100)]
    assert len(set(changed)) > 50
    assert sum(result.startswith(data[:2]) for result in changed) > 50


def test_changes_of_messages_are_messages() -> None:
    data = model([node("Conv", ["x", "w"], "y")], [tensor("w", random_array(1, 1, 3, 3))]).SerializeToString()
    random = Random(1)
    change = random_change(random, [data])
    changed = {FORMS["protobuf"](data, random, change) for _ in range(100)}
    assert len(changed) > 50
    assert sum(is_model(result) for result in changed) > len(changed) // 2


def is_model(data: bytes) -> bool:
    try:
        ModelProto.FromString(data)
    except DecodeError:
        return False
    return True


@pytest.mark.exhaustive
def test_the_command_prints_its_figures_and_leaves_the_corpus(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    before = inputs("plan-ranges")
    command = [sys.executable, "-m", "fuzzing", "plan-ranges", "--executions", "2000", "--findings", str(tmp_path)]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "| plan-ranges | 2,000 |" in ran.stdout
    assert ran.stdout.rstrip().endswith("| 0 |")
    assert inputs("plan-ranges") == before


@pytest.mark.exhaustive
def test_what_fails_is_found_and_kept(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    program = (
        "import sys; from fuzzing import worker, targets; "
        "fail = lambda data: 1 / (not data.startswith(b'a')); "
        "worker.TARGETS['x'] = targets.Target(name='x', run=fail); "
        f"sys.argv = ['fuzz', 'x', {str(tmp_path)!r}, '-runs=20000', '-max_len=8', '-seed=1']; worker.main()"
    )
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, check=True)
    (report,) = tmp_path.glob("*.txt")
    assert "ZeroDivisionError" in report.read_text()
    assert report.with_suffix("").read_bytes().startswith(b"a")
