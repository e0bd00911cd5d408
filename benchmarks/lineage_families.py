"""Train families of small networks whose relations are known: the planted data of `lineage.py`.

A family has a root, networks derived from it in every way that the analysis names, and networks that look alike and
are no descendants: from another initialization, from the same one, and distilled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

State = dict[str, torch.Tensor]
BATCH = 128
CONVOLUTIONS = ("stem", "block1", "block2", "block3")


@dataclass(frozen=True)
class Recipe:
    """How the networks of a family are built and trained."""

    width: int
    normalized: bool
    residual: bool
    optimizer: str
    epochs: int
    he: bool


@dataclass(frozen=True)
class Edge:
    """A planted relation: `relation` of `child` to `parent`."""

    child: str
    parent: str
    relation: str


class Network(nn.Module):
    """Four convolutions and a classifier, for images of 8x8 pixels."""

    def __init__(self, recipe: Recipe, classes: int) -> None:
        super().__init__()
        width = recipe.width
        channels = ((1, width), (width, 2 * width), (2 * width, 2 * width), (2 * width, 3 * width))
        for name, (inputs, outputs) in zip(CONVOLUTIONS, channels, strict=True):
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1, stride=2 if name == "stem" else 1)
            if recipe.he:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            self.add_module(name, convolution)
            self.add_module(f"{name}_norm", nn.BatchNorm2d(outputs) if recipe.normalized else nn.Identity())
        self.residual = recipe.residual
        self.head = nn.Linear(3 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in CONVOLUTIONS:
            y = getattr(self, f"{name}_norm")(getattr(self, name)(x))
            x = torch.relu(y + x if self.residual and name == "block2" else y)
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


@dataclass(frozen=True)
class Task:
    """Images `[n, 1, 8, 8]` and their labels, or the logits of a teacher."""

    images: torch.Tensor
    targets: torch.Tensor
    classes: int


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images of scikit-learn's digits, standardized, and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1)
    return (images - images.mean()) / images.std(), torch.tensor(data.target)


def random_recipe(random: np.random.Generator) -> Recipe:
    normalized = bool(random.random() < 0.6)
    return Recipe(
        width=int(random.choice([8, 10, 12, 16])),
        normalized=normalized,
        residual=bool(random.random() < 0.4),
        optimizer=str(random.choice(["adam", "adamw", "sgd"])),
        epochs=int(random.integers(12, 22)),
        he=not normalized or bool(random.random() < 0.4),
    )


def train(
    network: Network,
    task: Task,
    recipe: Recipe,
    seed: int,
    *,
    epochs: int | None = None,
    rate: float = 1.0,
    frozen: tuple[str, ...] = (),
    masks: State | None = None,
) -> Network:
    """Train a network in place; `rate` multiplies the learning rate of the recipe."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.split(".")[0].removesuffix("_norm") not in frozen)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(parameters, 0.1 * rate, momentum=0.9, weight_decay=5e-4)
    elif recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(parameters, 5e-3 * rate, weight_decay=0.05)
    else:
        optimizer = torch.optim.Adam(parameters, 5e-3 * rate)
    epochs = epochs or recipe.epochs
    steps = epochs * (len(task.images) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(task.images), generator=generator)[: steps // epochs * BATCH].view(-1, BATCH):
            output = network(task.images[rows])
            targets = task.targets[rows]
            if targets.is_floating_point():
                loss = nn.functional.kl_div(output.log_softmax(1), targets.softmax(1), reduction="batchmean")
            else:
                loss = nn.functional.cross_entropy(output, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for name, mask in (masks or {}).items():
                    network.get_parameter(name).mul_(mask)
    return network


class Family:
    """Trains the networks of one family and writes them as files of one folder."""

    def __init__(self, number: int, folder: Path) -> None:
        random = np.random.default_rng(number)
        self.number, self.folder, self.recipe = number, folder, random_recipe(random)
        self.random = random
        self.images, self.labels = digits()
        self.states: dict[str, State] = {}
        self.edges: list[Edge] = []

    def make(self) -> list[Edge]:
        """Train and write all networks; return the planted relations."""
        tasks = self.tasks()
        sources = [str(name) for name in self.random.permutation(list(tasks))]
        first, second, third, fourth = (tasks[name] for name in sources[:4])
        recipe = self.recipe
        self.add("root", train(self.new(first.classes, 0), first, recipe, 0).state_dict())
        self.add("other-seed", train(self.new(first.classes, 1), first, recipe, 1).state_dict())
        self.add("other-order", train(self.new(first.classes, 0), first, recipe, 2).state_dict())
        self.add("other-task-same-init", train(self.new(second.classes, 0), second, recipe, 3).state_dict())
        self.finetune("tuned", "root", second, rate=float(self.random.uniform(0.05, 0.5)), epochs=4)
        self.finetune("tuned-long", "root", third, rate=1.0, epochs=recipe.epochs)
        self.finetune("tuned-again", "tuned", fourth, rate=float(self.random.uniform(0.1, 1)), epochs=4)
        kept = CONVOLUTIONS[: int(self.random.integers(1, 4))]
        self.partly_frozen("frozen-stem", "root", second, kept)
        self.distilled("distilled", "root", first)
        for name, dtype in (("root", torch.float16), ("tuned", torch.bfloat16)):
            copy = {key: value.to(dtype) for key, value in self.states[name].items() if value.is_floating_point()}
            self.add(f"{name}-half", copy, Edge(f"{name}-half", name, "same"))
        for name in ("root", "tuned-long"):
            self.add(f"{name}-int8", quantized(self.states[name]), Edge(f"{name}-int8", name, "quantized"))
        share = float(self.random.uniform(0.3, 0.8))
        pruned = prune(self.states["root"], share)
        self.add("root-pruned", pruned, Edge("root-pruned", "root", "pruned"))
        self.retrained_pruned("tuned-long-pruned", "tuned-long", third, share)
        self.add("root-permuted", self.permuted(self.states["root"]), Edge("root-permuted", "root", "permuted"))
        return self.edges

    def tasks(self) -> dict[str, Task]:
        images, labels = self.images, self.labels
        return {
            "digits": Task(images, labels, 10),
            "parity": Task(images, labels % 2, 2),
            "rotated": Task(images.rot90(1, (2, 3)), labels, 10),
            "inverted": Task(-images.flip(3), labels, 10),
            "large": Task(images, (labels > 4).long(), 2),
            "half": Task(images[labels < 5], labels[labels < 5], 5),
        }

    def new(self, classes: int, seed: int) -> Network:
        torch.manual_seed(1000 * self.number + seed)
        return Network(self.recipe, classes)

    def from_state(self, name: str, classes: int, seed: int) -> Network:
        """Return a network with the weights of another one and a new head."""
        network = self.new(classes, seed)
        body = {key: value.clone() for key, value in self.states[name].items() if not key.startswith("head")}
        network.load_state_dict(body, strict=False)
        return network

    def finetune(self, name: str, parent: str, task: Task, *, rate: float, epochs: int) -> None:
        network = self.from_state(parent, task.classes, len(self.states) + 10)
        tuned = train(network, task, self.recipe, len(self.states), rate=rate, epochs=epochs)
        self.add(name, tuned.state_dict(), Edge(name, parent, "finetune"))

    def partly_frozen(self, name: str, parent: str, task: Task, frozen: tuple[str, ...]) -> None:
        """Keep the first layers of a network and train the others from a new initialization."""
        network = self.new(task.classes, 20)
        kept = {
            key: value
            for key, value in self.states[parent].items()
            if key.split(".")[0].removesuffix("_norm") in frozen
        }
        network.load_state_dict(kept, strict=False)
        trained = train(network, task, self.recipe, 20, frozen=frozen)
        self.add(name, trained.state_dict(), Edge(name, parent, "partial"))

    def distilled(self, name: str, teacher: str, task: Task) -> None:
        network = self.new(task.classes, 0)
        network.load_state_dict(self.states[teacher])
        network.eval()
        with torch.no_grad():
            logits = network(task.images)
        student = train(self.new(task.classes, 30), Task(task.images, logits, task.classes), self.recipe, 30)
        self.add(name, student.state_dict())

    def retrained_pruned(self, name: str, parent: str, task: Task, share: float) -> None:
        masks = {
            key: (value != 0).float()
            for key, value in prune(self.states[parent], share).items()
            if key in {f"{layer}.weight" for layer in CONVOLUTIONS}
        }
        network = self.from_state(parent, task.classes, 40)
        tuned = train(network, task, self.recipe, 40, rate=0.1, epochs=2, masks=masks)
        self.add(name, tuned.state_dict(), Edge(name, parent, "pruned"))

    def permuted(self, state: State) -> State:
        """Permute the channels so that the network computes the same."""
        generator = torch.Generator().manual_seed(self.number)
        result = dict(state)
        order: torch.Tensor | None = None
        shared: torch.Tensor | None = None
        for name in CONVOLUTIONS:
            weight = result[f"{name}.weight"]
            if order is not None:
                weight = weight[:, order]
            new = torch.randperm(len(weight), generator=generator)
            if self.recipe.residual and name == "block1":
                shared = new
            if self.recipe.residual and name == "block2":
                assert shared is not None
                new = shared
            order = new
            for key in list(result):
                if key.split(".")[0] in (name, f"{name}_norm") and result[key].ndim == 1:
                    result[key] = result[key][order]
            result[f"{name}.weight"] = weight[order]
        result["head.weight"] = result["head.weight"][:, order]
        return result

    def add(self, name: str, state: State, edge: Edge | None = None) -> None:
        self.states[name] = {key: value.clone().contiguous() for key, value in state.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.safetensors"
        save_file(self.states[name], path)
        os.utime(path, (1_700_000_000, 1_700_000_000))  # the direction is to be found from weights
        if edge is not None:
            self.edges.append(edge)


def prune(state: State, share: float) -> State:
    """Set the smallest weights of each convolution to zero."""
    result = dict(state)
    for layer in CONVOLUTIONS:
        weight = state[f"{layer}.weight"]
        result[f"{layer}.weight"] = weight * (weight.abs() > weight.abs().flatten().quantile(share))
    return result


def quantized(state: State) -> State:
    """Store the weights of convolutions as 8-bit codes with a scale for each output channel."""
    result = {key: value for key, value in state.items() if value.is_floating_point()}
    for layer in CONVOLUTIONS:
        weight = state[f"{layer}.weight"]
        scale = weight.abs().amax((1, 2, 3), keepdim=True) / 127
        result[f"{layer}.weight"] = (weight / scale).round().clamp(-127, 127).to(torch.int8)
        result[f"{layer}.weight_scale"] = scale
    return result


def make_families(numbers: range, folder: Path, progress: Callable[[str], None] = print) -> None:
    """Train families into `folder/NUMBER` with `edges.json` in each; those that are there are kept."""
    torch.set_num_threads(1)
    for number in numbers:
        target = folder / f"{number:03d}"
        if not (target / "edges.json").is_file():
            edges = Family(number, target).make()
            (target / "edges.json").write_text(json.dumps([vars(edge) for edge in edges], indent=1))
            progress(f"family {number}")
