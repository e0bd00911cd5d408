"""Notes of trainers, which come with the weights of strangers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from filtercrawl_plugins.formats import json_text
from filtercrawl_plugins.sources.local.trainer_files import TrainerState, read_iterations, read_trainer_state


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ('{"global_step": 5, "epoch": 1.5}', TrainerState(step=5, epoch=1.5)),
        ('{"global_step": 5, "epoch": 2.0}', TrainerState(step=5, epoch=2)),
        ('{"global_step": 5, "epoch": 1e400}', TrainerState(step=5)),
        (f'{{"global_step": 5, "epoch": {"9" * 400}}}', None),
        ('{"global_step": true}', None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_trainer_state(text: str, state: TrainerState | None, tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text(text)
    assert read_trainer_state(tmp_path / "trainer_state.json", tmp_path) == state


def test_notes_with_more_values_than_any_trainer_writes_are_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "MAX_VALUES", 10)
    text = json.dumps({"global_step": 5, "log_history": [{}] * 10})
    (tmp_path / "trainer_state.json").write_text(text)
    assert read_trainer_state(tmp_path / "trainer_state.json", tmp_path) is None
    rows = [{"checkpoint_dir_name": "a", "training_iteration": 3}, {"checkpoint_dir_name": "b", "x": [[]] * 10}]
    (tmp_path / "result.json").write_text("\n".join(map(json.dumps, rows)))
    assert read_iterations(tmp_path / "result.json", tmp_path) == {"a": 3}
