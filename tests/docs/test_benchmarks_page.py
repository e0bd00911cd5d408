"""The page of the benchmarks is that of the kept runs, and the program that writes it finds its scripts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import history  # noqa: E402
import ratios  # noqa: E402
import suite  # noqa: E402


def test_the_page_shows_the_kept_runs() -> None:
    assert history.PAGE.read_text("utf-8") == history.page(history.load())


@pytest.mark.parametrize("benchmark", suite.SUITE, ids=lambda benchmark: benchmark.name)
def test_every_benchmark_has_its_script(benchmark: suite.Benchmark) -> None:
    script = ROOT / "benchmarks" / benchmark.script
    assert "record(" in script.read_text("utf-8"), "a benchmark without ratios has no place in the table"


def test_the_list_names_all_and_an_unknown_name_is_refused() -> None:
    run = [sys.executable, "-m", "benchmarks"]
    listed = subprocess.run([*run, "--list"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert [line.partition("  ")[0] for line in listed.splitlines()] == [each.name for each in suite.SUITE]
    refused = subprocess.run([*run, "speeed"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "no benchmark is called 'speeed'" in refused.stderr


def test_ratios_come_back_as_they_were_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [
        ratios.Ratio(what="reading", peer="memory", value=0.9, at_least=0.8),
        ratios.Ratio(what="time", peer="its limit", value=1.2, at_most=1),
        ratios.Ratio(what="bytes", peer="the file", value=0.1),
    ]
    ratios.record(some)  # without a file nothing is written
    monkeypatch.setenv(ratios.RATIOS_FILE, str(tmp_path / "ratios"))
    ratios.record(some[:1])
    ratios.record(some[1:])
    assert ratios.read(tmp_path / "ratios") == some
    assert [ratio.holds for ratio in some] == [True, False, None]


def test_a_page_has_the_last_run_of_each_length_and_what_was_before() -> None:
    def run(date: str, value: float, *, full: bool = False) -> history.Run:
        ratio = ratios.Ratio(what="reading", peer="memory", value=value, at_least=0.8)
        return history.Run(date=date, full=full, machine="m", versions={"torch": "2"}, ratios={"loading": [ratio]})

    runs = [run("2026-01-01", 0.7), run("2026-01-02", 0.9, full=True), run("2026-01-03", 0.75)]
    page = history.page(runs)
    assert "2026-01-03; m; torch 2." in page
    assert "| reading | memory | 0.75 | ≥ 0.8 (missed) | 0.7 |" in page
    assert "| reading | memory | 0.9 | ≥ 0.8 |" in page.partition("## Short runs")[0]
    text = json.dumps(history.asdict(runs[0]))
    assert history.Run.from_json(text) == runs[0]
