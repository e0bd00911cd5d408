"""What a pickle would run if it were loaded is named, and can be refused; nothing of it runs here."""

from __future__ import annotations

import collections
import json
import os
import pickle
import runpy
from pathlib import Path

import pytest
import torch

from conftest import Sync
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.reader import read_content
from filtercrawl.python_api.inspect import inspect
from filtercrawl.python_api.status import status
from filtercrawl_plugins.formats.pickle.named_code import is_function, reaches_out
from support.malicious_pickles import PAYLOADS, short, tensor, zipped
from support.paths import REPOSITORY
from support.torch_files import READERS, OneFile, saved
from support.zoo_files import models

SYSTEM = b"cos\nsystem\n(" + short("true") + b"tR"


def code_of(data: bytes) -> tuple[str, ...]:
    file = MemoryFile(data, "x.pt")
    (reader,) = [reader for reader in READERS.values() if reader.can_read(file)]
    return read_content(reader, OneFile(file)).code


@pytest.mark.parametrize("name", [name for name in PAYLOADS if "holds itself" not in name and "lead out" not in name])
def test_each_payload_is_named(name: str, tmp_path: Path) -> None:
    assert code_of(PAYLOADS[name](tmp_path / "ran")), name
    assert list(tmp_path.iterdir()) == []


def test_weights_and_modules_of_torch_name_none() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    for value in (network, network.state_dict(), {"a": collections.Counter("ab"), "p": Path("x"), "d": torch.float16}):
        assert code_of(saved(value)) == ()


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("os", "system", True),
        ("builtins", "eval", True),
        ("builtins", "getattr", True),
        ("builtins", "list", False),
        ("builtins", "ValueError", False),
        ("torch.hub", "load", True),
        ("torch", "device", False),
        ("argparse", "Namespace", False),
        ("osmosis", "system", False),
    ],
)
def test_names_that_reach_out(module: str, name: str, expected: bool) -> None:
    assert reaches_out(module, name) is expected


def test_functions_that_nothing_is_known_of() -> None:
    assert is_function("anything.inside", "rebuild")
    assert not is_function("anything.inside", "Model")
    assert not is_function("torch._utils", "_rebuild_parameter")


def test_a_run_says_what_was_not_run(
    run_sync: Sync, dataset: Path, zoo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    item = short("w.weight") + tensor()
    (zoo / "bad.pt").write_bytes(zipped(b"}(" + item + short("x") + SYSTEM + b"u"))
    (zoo / "good.pt").write_bytes(saved({"w.weight": torch.ones(2, 2, 3, 3)}))
    run_sync()
    bad, good = (models(dataset)[f"local/{name}.pt"] for name in ("bad", "good"))
    assert (bad["outcome"], good["outcome"]) == ("emitted", "emitted")
    assert json.loads(bad["extra"]) == {"names_code": ["os.system"]}
    assert good["extra"] is None
    assert "bad.pt: names os.system; not run" in caplog.text
    assert status(dataset).names_code == {"local/bad.pt": ("os.system",)}
    assert "local/bad.pt: names os.system; not run" in str(status(dataset))


def test_such_files_can_be_refused(run_sync: Sync, dataset: Path, zoo: Path) -> None:
    (zoo / "bad.pt").write_bytes(zipped(b"}(" + short("w.weight") + tensor() + short("x") + SYSTEM + b"u"))
    run_sync(refuse_code=True)
    (row,) = models(dataset).values()
    assert row["outcome"] == "failed"
    assert row["reason"].startswith("names os.system, which loading it would run; refused")


class RunsSystem:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_nothing_but_code_fails_with_what_it_names(
    protocol: int, run_sync: Sync, dataset: Path, zoo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (zoo / "bad.pkl").write_bytes(pickle.dumps([RunsSystem()] if protocol == 2 else RunsSystem(), protocol))
    called = f"{os.system.__module__}.system"
    inspected = inspect(zoo / "bad.pkl")
    assert inspected.code == (called,)
    assert str(inspected).split("\n")[1:] == [f"names {called}; not run"]
    reason = f"names {called}, not run, and holds no tensors; do not load it elsewhere"
    assert run_sync().failures == {"local/bad.pkl": reason}
    found = status(dataset)
    assert found.names_code == {"local/bad.pkl": (called,)}
    assert str(found).count("bad.pkl") == 1
    assert [group.cause for group in found.failures] == ["names code"]
    refusal = run_sync(refuse_code=True, retry="all").failures["local/bad.pkl"]
    assert refusal.startswith(f"names {called}, which loading it would run; refused")


def test_a_pickle_without_arrays_that_names_no_code_is_claimed_by_no_reader(run_sync: Sync, zoo: Path) -> None:
    (zoo / "words.pkl").write_bytes(pickle.dumps({"a": [1, "os.system"]}))
    assert "a pickle without arrays" in run_sync().failures["local/words.pkl"]


def test_a_refused_file_is_told_once_with_the_setting_that_allows_it(run_sync: Sync, dataset: Path, zoo: Path) -> None:
    (zoo / "bad.pt").write_bytes(zipped(b"}(" + short("w.weight") + tensor() + short("x") + SYSTEM + b"u"))
    run_sync()
    run_sync(refuse_code=True)
    told = status(dataset)
    assert told.names_code == {"local/bad.pt": ("os.system",)}
    (line,) = [line for line in str(told).splitlines() if "bad.pt" in line]
    assert line.endswith("which loading it would run; refused by refuse_code; set it to false to allow the file")


def test_files_of_earlier_runs_are_refused_too_and_read_again_where_that_ends(
    run_sync: Sync, dataset: Path, zoo: Path
) -> None:
    (zoo / "bad.pt").write_bytes(zipped(b"}(" + short("w.weight") + tensor() + short("x") + SYSTEM + b"u"))
    (zoo / "good.pt").write_bytes(zipped(b"}(" + short("w.weight") + tensor() + b"u"))

    def outcomes() -> dict[str, str]:
        return {name: row["outcome"] for name, row in models(dataset).items()}

    run_sync()
    before = outcomes()
    assert "failed" not in before.values()
    report = run_sync(refuse_code=True)
    assert list(report.failures) == ["local/bad.pt"]
    assert report.failures["local/bad.pt"].endswith(
        "which loading it would run; refused by refuse_code; set it to false to allow the file"
    )
    assert outcomes() == {**before, "local/bad.pt": "failed"}
    assert run_sync(refuse_code=True).to_dict()["checkpoints"]["waiting"] == 1
    assert run_sync().failures == {}
    assert outcomes() == before
    assert run_sync().to_dict()["checkpoints"]["unchanged"] == 2


def test_the_page_of_limits_is_up_to_date() -> None:
    docs = REPOSITORY / "docs"
    page = runpy.run_path(str(docs / "limits.py"))["page"]()
    assert (docs / "limits.md").read_text("utf-8") == page, "run `python docs/limits.py`"


def test_pickles_of_classes_are_no_code() -> None:
    assert code_of(zipped(pickle.dumps(collections.UserString("x"), 2)[2:-1])) == ()
