"""The lineage of networks that are trained here: a short version of `benchmarks/lineage.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from support.synthetic_datasets import Net, analysed, plant, rows
from support.zoo_files import State


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks are small: threads that wait for each other take most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def images(generator: torch.Generator, count: int = 512) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images of bars: the class is the direction of the bar, and whether it lies in the first half."""
    labels = torch.randint(0, 4, (count,), generator=generator)
    pictures = 0.3 * torch.randn(count, 1, 8, 8, generator=generator)
    for picture, label in zip(pictures, labels.tolist(), strict=True):
        line = int(torch.randint(0, 4, (), generator=generator)) + 4 * (label % 2)
        picture[0, line, :] += label < 2
        picture[0, :, line] += label >= 2
    return pictures, labels


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((1, 12, 2), (12, 24, 1), (24, 24, 1)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 4))


def train(model: nn.Sequential, pictures: torch.Tensor, targets: torch.Tensor, steps: int) -> nn.Sequential:
    """Train on labels, or on the logits of a teacher."""
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(steps):
        rows_ = torch.arange(64) + 64 * (step % (len(pictures) // 64))
        output, goal = model(pictures[rows_]), targets[rows_]
        goal = goal.softmax(1) if goal.is_floating_point() else goal
        optimizer.zero_grad()
        nn.functional.cross_entropy(output, goal).backward()
        optimizer.step()
    return model


def copy(model: nn.Sequential) -> nn.Sequential:
    again = network(0)
    again.load_state_dict(model.state_dict())
    return again


def weights(model: nn.Sequential) -> State:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def test_descendants_are_told_from_students_and_twins(tmp_path: Path) -> None:
    pictures, labels = images(torch.Generator().manual_seed(0))
    other_labels = labels.flip(0)
    root = train(network(1), pictures, labels, 80)
    with torch.no_grad():
        logits = copy(root).eval()(pictures)
    tuned = train(copy(root), pictures.flip(0).transpose(2, 3), other_labels, 60)
    made = {
        "root": weights(root),
        "tuned": weights(tuned),
        "tuned-otherwise": weights(train(copy(root), -pictures, labels, 60)),
        "half": {name: value.half() for name, value in weights(root).items() if value.is_floating_point()},
        "twin": weights(train(network(2), pictures, labels, 80)),
        "student": weights(train(network(3), pictures, logits, 80)),
    }
    dataset = plant(tmp_path, [Net(name=name, state=state) for name, state in made.items()])
    result = analysed("lineage", dataset)
    found = {row["child"]: (row["parent"], row["relation"]) for row in rows(result, "lineage")}
    assert found == {
        "acme/half": ("acme/root", "same"),
        "acme/tuned": ("acme/root", "finetune"),
        "acme/tuned-otherwise": ("acme/root", "finetune"),
    }
    related = {name for row in rows(result, "related_models") for name in (row["model_a"], row["model_b"])}
    assert not related & {"acme/twin", "acme/student"}
