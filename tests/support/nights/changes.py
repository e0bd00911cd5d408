"""What happens by day: to the zoos, and to `main` of the dataset."""

from __future__ import annotations

from dataclasses import replace

from support.nights.world import REPO, World


def add(world: World) -> None:
    world.add(world.choice.choice(["org", "other"]))


def change(world: World) -> None:
    """Train a network again, under the same name."""
    name = world.any_network()
    world.put(name, replace(world.networks[name], seed=world.new_seed()))


def rename(world: World) -> None:
    old = world.any_network("org/")
    world.move(old, f"{old}-renamed")


def remove(world: World) -> None:
    name = world.any_network()
    world.hub.delete(name)
    del world.networks[name]


def gate(world: World) -> None:
    name = world.any_network("org/")
    world.put(name, replace(world.networks[name], gated=True))


def open_gates(world: World) -> None:
    """Offer all networks that are gated again."""
    for name, network in list(world.networks.items()):
        if network.gated:
            world.put(name, replace(network, gated=False))


def relicense(world: World) -> None:
    name = world.any_network()
    other = {"mit": "apache-2.0", "apache-2.0": "mit"}[world.networks[name].license]
    world.put(name, replace(world.networks[name], license=other))


def delete_layers(world: World) -> None:
    """Delete a layers file from `main`."""
    world.commit_as_a_stranger({}, delete=[world.any_file("data/layers/")])


def overwrite_index(world: World) -> None:
    world.commit_as_a_stranger({world.any_file("data/index/"): b"PAR1 of somebody else"})


def add_table(world: World) -> None:
    """Add a file to the dataset's folders, and one beside them, which may stay."""
    world.commit_as_a_stranger({"data/index/mine.parquet": b"PAR1", f"notes-{world.day}.txt": b"mine"})


def delete_wrong_tag(world: World) -> None:
    """Delete the name of a later day, with the command line of the Hub's client."""
    wrong = list(world.tags())[-1]
    arguments = ("repos", "tag", "delete", REPO, wrong, "--repo-type", "dataset", "--yes")
    job = replace(world.job_on("owner"), module="huggingface_hub.cli.hf", arguments=arguments)
    ended = world.commands.run(job)
    assert ended.status == 0, ended.output
    world.given_up.add(wrong)
