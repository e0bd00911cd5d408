"""The public functions: typed, importable without torch, and of use in a notebook."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from inspect import signature

import filtercrawl_publish
from filtercrawl.config import Settings
from filtercrawl_publish import api
from filtercrawl_publish.publishing import PublishResult, RollbackResult
from filtercrawl_publish.releasing import ReleaseReport
from filtercrawl_publish.releasing.withdraw import WithdrawResult
from filtercrawl_publish.verification import Issue, VerifyReport


def test_every_name_can_be_imported() -> None:
    for name in filtercrawl_publish.__all__:
        assert getattr(filtercrawl_publish, name).__name__ == name
    assert set(filtercrawl_publish.__all__) <= set(dir(filtercrawl_publish))
    assert set(api.__all__) <= set(filtercrawl_publish.__all__)


def test_every_function_is_typed_and_documented() -> None:
    for name in api.__all__:
        function = getattr(api, name)
        assert "Args:" in function.__doc__
        assert signature(function).return_annotation != signature(function).empty


def test_importing_costs_no_torch() -> None:
    code = (
        "import sys, filtercrawl_publish\n"
        "assert 'pyarrow' not in sys.modules and 'torch' not in sys.modules\n"
        "filtercrawl_publish.publish\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'filtercrawl.cli' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_commands_import_what_they_need_when_they_run() -> None:
    code = (
        "import sys\n"
        "from filtercrawl_publish.commands import diff, export, migrate, publish, release, rollback, verify, withdraw\n"
        "heavy = {'pyarrow.compute', 'jinja2', 'huggingface_hub', 'torch'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_results_as_text_and_html() -> None:
    result = PublishResult(
        outcome="published", repository="org/<b>", version="v1", commit="c", files=1200, removed=3, bytes=5000
    )
    assert str(result) == "published v1: org/<b> (1,200 files, 5.0 kB, 3 removed)"
    assert "org/&lt;b&gt;" in result._repr_html_()
    assert result.to_dict()["what"] == "published"
    rollback = RollbackResult(outcome="nothing", repository="r", version="v2", commit="c", restored="v1")
    assert str(rollback) == "r: the latest version has the content of v1 already"
    assert "<table>" in rollback._repr_html_()


def test_verify_report() -> None:
    sound = VerifyReport(dataset="d", issues=())
    assert (sound.sound, str(sound)) == (True, "d: sound")
    broken = VerifyReport(dataset="d", issues=(Issue(where="a\n", what="is <missing>"),))
    assert (broken.sound, str(broken)) == (False, "a\\n: is <missing>")
    assert broken.to_dict()["findings"] == [{"where": "a\n", "what": "is <missing>"}]
    assert "is &lt;missing&gt;" in broken._repr_html_()


def test_names_from_outside_add_no_lines() -> None:
    forged = "a\npublished v9: org/other\u2028\x1b[31m"
    shown = "a\ufffdpublished v9: org/other\ufffd\ufffd[31m"
    withdrawal = WithdrawResult(dataset="d", withdrawn=(forged,), promoted=(forged,), remaining=(forged,), files=())
    assert str(withdrawal).split("\n") == [
        f"withdrawn: {shown}",
        f"owns the weights from now on: {shown}",
        f"the same weights are still there as {shown}; withdraw these too to remove them",
    ]
    release = ReleaseReport(repository="org/kernels", started=datetime(2026, 11, 23, tzinfo=UTC), settings=Settings())
    release.failed_analyses, release.reason = {forged: forged}, forged
    assert str(release).split("\n") == [f"failed analysis: {shown}: {shown}", shown]
