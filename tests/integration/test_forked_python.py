"""Child processes of tests do what the real interpreter does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.forked_python import forked_python


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "import sys; print(sys.argv, sys.stdin.read(), sys.path[0]); print('said', file=sys.stderr)", "a", "-b"],
        ["-c", "import os; print(os.getcwd(), os.environ['GIVEN'], 'HOME' in os.environ)"],
        ["-c", "import sys; sys.exit(7)"],
        ["-c", "import sys; sys.exit('in words')"],
        ["-c", "import os; os.kill(os.getpid(), 9)"],
        ["-c", "import atexit; atexit.register(print, 'at the end')"],
        ["-W", "error", "-c", "import warnings\ntry: warnings.warn('x')\nexcept UserWarning: print('raised')"],
        ["-m", "json.tool"],
        ["-m", "given", "argument"],
        ["-V"],
    ],
)
def test_it_does_what_the_interpreter_does(forked_program: str, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "given.py").write_text("import sys; print(__name__, sys.argv, sys.path[:2])")
    environment = {"GIVEN": "é", "PYTHONPATH": str(tmp_path / "more"), "PATH": os.environ["PATH"]}
    results = [
        subprocess.run(
            [program, *words], input='{"a": 1}', capture_output=True, text=True, env=environment, check=False
        )
        for program in (sys.executable, forked_program)
    ]
    assert len({(done.returncode, done.stdout, done.stderr) for done in results}) == 1


def test_an_error_is_shown_as_ever(forked_program: str) -> None:
    done = subprocess.run([forked_program, "-c", "1/0"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ZeroDivisionError: division by zero")


WAITING = """
import os, time
try:
    print(os.getpid(), flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_signals_arrive_and_nobody_is_left_behind(forked_program: str) -> None:
    for number, said in ((signal.SIGINT, "interrupted\n"), (signal.SIGKILL, "")):
        with subprocess.Popen([forked_program, "-c", WAITING], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            child = int(process.stdout.readline())
            process.send_signal(number)
            assert process.stdout.read() == said
        deadline = time.monotonic() + 10
        while Path(f"/proc/{child}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_libraries_that_the_server_imported_use_the_caches_of_the_child(tmp_path: Path) -> None:
    shown = "datasets.config.HF_DATASETS_CACHE, huggingface_hub.constants.HF_HUB_CACHE"
    with forked_python("datasets") as program:
        done = subprocess.run(
            [program, "-c", f"import datasets, huggingface_hub; print({shown})"],
            env={
                "HF_DATASETS_CACHE": str(tmp_path / "datasets"),
                "HF_HUB_CACHE": str(tmp_path / "hub"),
                "PATH": os.environ["PATH"],
            },
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.stdout == f"{tmp_path}/datasets {tmp_path}/hub\n"


def test_a_module_that_the_server_imported_runs_anew() -> None:
    words = ["-m", "json.tool", "--help"]
    with forked_python("json.tool") as program:
        done = subprocess.run([program, *words], env=dict(os.environ), capture_output=True, text=True, check=False)
    assert (done.stdout[:6], done.stderr) == ("usage:", "")
