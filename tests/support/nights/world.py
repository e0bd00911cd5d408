"""A zoo on a Hub on loopback, the dataset that releases make of it, and the machines that they run on."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import safetensors.torch

from filtercrawl.dataset.schema.version_order import release_order
from support.crashes.commands import Commands, Job
from support.hub.server import HubServer
from support.hub.types import Commit, Repo
from support.zoo_files import state

REPO: Final = "acme/kernels"
TOKEN: Final = "hf_owner"
DAY: Final = 86400
MONDAY: Final = 1_780_000_000
ZOO: Final = ("hub:org/*", "hub:other/*")
# Networks of each zoo at first; the list of the first comes in pages.
_FIRST: Final = {"org": 9, "other": 4}
_MODELS_PER_PAGE: Final = 6
# One of them may go, not six.
_MAX_LOST: Final = "0.15"
_OPTIONS: Final = ("--no-plugin", "analyses")
_RELEASE: Final = ("release", REPO, *ZOO, "--dataset", "dataset", "--engine", "threads", "--device", "cpu")


# What has not been asked of the zoos: anything, or only the bytes of checkpoints.
Untouched = Literal["zoos", "checkpoints"]


@dataclass(kw_only=True)
class Network:
    """A checkpoint that a zoo offers.

    Attributes:
        seed: Of its weights.
        license: As its card has it.
        gated: Whether it is offered to nobody.
        known_as: The name under which it was published first, if it has another by now; its id stays.
        renames: How often it got another name.
    """

    seed: int
    license: str = "mit"
    gated: bool = False
    known_as: str | None = None
    renames: int = 0

    def layers(self) -> dict[str, str]:
        """SHA-256 of the weights of each layer that a release publishes."""
        return {
            name: hashlib.sha256(tensor.numpy().astype("<f4").tobytes()).hexdigest()
            for name, tensor in state(self.seed).items()
            if tensor.ndim == 4 and tensor.shape[2:] != (1, 1)
        }


@dataclass
class World:
    """What nights happen to.

    Attributes:
        hub: The Hub.
        commands: Run releases.
        folder: Of the machines.
        choice: What makes one scenario differ from another.
        networks: What the zoos hold, by repository.
        day: Days since the scenario began.
        given_up: Versions whose tags were deleted on purpose.
    """

    hub: HubServer
    commands: Commands
    folder: Path
    choice: random.Random
    networks: dict[str, Network] = field(default_factory=dict)
    day: int = 0
    given_up: set[str] = field(default_factory=set)
    _seeds: int = 0
    _touched: dict[str, int] = field(default_factory=dict)

    # The zoo.

    def add(self, org: str = "org") -> str:
        """Add a network with weights that no other has; returns its name."""
        seed = self.new_seed()
        name = f"{org}/net-{seed:03}"
        self.put(name, Network(seed=seed))
        return name

    def new_seed(self) -> int:
        self._seeds += 1
        return self._seeds

    def put(self, name: str, network: Network) -> None:
        """Offer a network, in place of what has this name."""
        known = name in self.networks
        self._touched[name] = self.day
        self.networks[name] = network
        data = safetensors.torch.save({key: tensor.contiguous() for key, tensor in state(network.seed).items()})
        if not known:
            self.hub.create(name, {"model.safetensors": data}, card={"license": network.license})
        self.hub.repos[name].card = {"license": network.license}
        self.hub.repos[name].gated = "auto" if network.gated else False
        if known:
            self.hub.commit(name, {"model.safetensors": data})

    def move(self, old: str, new: str) -> None:
        """Give a network another name."""
        self.hub.move(old, new)
        network = self.networks.pop(old)
        self.networks[new] = replace(network, known_as=network.known_as or old, renames=network.renames + 1)
        self._touched[new] = self.day

    def any_network(self, org: str = "") -> str:
        """Choose a network that is offered and to which nothing happened today: of two changes some cannot be told."""
        names = [name for name, network in self.networks.items() if name.startswith(org) and not network.gated]
        name = self.choice.choice([name for name in names if self._touched.get(name) != self.day])
        self._touched[name] = self.day
        return name

    def by_id(self, *, gated: bool) -> dict[str, Network]:
        """The networks that are gated, or those that are not, by the ids of their checkpoints."""
        return {
            f"hub/{network.known_as or name}/model.safetensors": network
            for name, network in self.networks.items()
            if network.gated == gated
        }

    def touched(self, what: Untouched | None) -> list[str]:
        """Paths of requests to the zoos since `hub.forget`: all, or those for bytes of checkpoints; none for None."""
        prefixes = {None: (), "zoos": ("/api/models", *self._folders()), "checkpoints": self._folders()}[what]
        return [asked.path for asked in self.hub.log if asked.path.startswith(prefixes)]

    def _folders(self) -> tuple[str, ...]:
        return tuple(f"/{name}/resolve/" for name in self.networks)

    def requests(self) -> int:
        """How many requests came since `hub.forget`; a listing counts as one, however many pages it has."""
        return sum(not (asked.path == "/api/models" and "cursor" in asked.query) for asked in self.hub.log)

    # The dataset.

    @property
    def repo(self) -> Repo | None:
        return self.hub.datasets.get(REPO)

    def tags(self) -> dict[str, Commit]:
        """The commits of all versions, in the order of the versions."""
        found = {} if self.repo is None else {name: self.repo.at(name) for name in self.repo.tags}
        return {name: commit for name in sorted(found, key=release_order) if (commit := found[name]) is not None}

    def any_file(self, folder: str) -> str:
        """Choose a file of `main`."""
        assert self.repo is not None
        return self.choice.choice(sorted(path for path in self.repo.head.files if path.startswith(folder)))

    def commit_as_a_stranger(self, add: Mapping[str, bytes], delete: Iterable[str] = ()) -> None:
        """Commit to `main` of the dataset what filtercrawl did not make."""
        assert self.repo is not None
        files = {path: data for path, data in self.repo.head.files.items() if path not in {*delete}} | dict(add)
        self.hub.append(self.repo, files, "Upload with huggingface_hub")

    def change_log(self) -> str:
        """What the change log says of the last version."""
        assert self.repo is not None
        return self.repo.head.files["CHANGES.md"].decode().split("\n## ")[1]

    # The machines.

    def job_on(self, machine: str, options: Sequence[str] = ()) -> Job:
        """Return the release of today on a machine, which is a folder."""
        folder = self.folder / machine
        folder.mkdir(parents=True, exist_ok=True)
        environment = {"HF_TOKEN": TOKEN, "FILTERCRAWL_MAX_LOST": _MAX_LOST, "XDG_CACHE_HOME": str(folder / "cache")}
        return Job(
            arguments=(*_OPTIONS, *_RELEASE, *options),
            folder=str(folder),
            clock=MONDAY + DAY * self.day,
            environment=environment,
        )

    def read(self, revisions: Sequence[str]) -> dict[str, Any]:
        """Read revisions of the dataset with the real clients, on a machine that has nothing of it.

        Raises:
            AssertionError: One does not load.
        """
        work = self.folder / "reader"
        work.mkdir(exist_ok=True)
        caches = f"{work}/caches-{self.day}"
        ended = self.commands.run(
            Job(
                arguments=(REPO, caches, *revisions),
                folder=str(work),
                module="support.nights.readers",
                environment={"HF_TOKEN": TOKEN},
            )
        )
        assert ended.status == 0, f"{' '.join(revisions)}: does not load: {ended.output[-3000:]}"
        found: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
        return found


def open_zoos(world: World) -> None:
    """Offer the networks that a scenario begins with; two are the same."""
    world.hub.models_per_page = _MODELS_PER_PAGE
    for org, number in _FIRST.items():
        for _ in range(number):
            world.add(org)
    world.put("other/twin", replace(world.networks["org/net-003"]))
