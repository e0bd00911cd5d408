"""Which files are parts of the checkpoint that names them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.pipeline.discovery.companions import PartFinder
from filtercrawl.pipeline.discovery.file_questions import ReadersHere

N_SHARDS = 300


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


def alone(path: Path) -> Checkpoint:
    return Checkpoint(name=path.name, files=(RemoteFile(url=path.as_uri(), path=path.name),))


def test_a_large_index_of_many_shards_is_parsed_once(plugins: Plugins, tmp_path: Path) -> None:
    names = [f"model-{number:05}-of-{N_SHARDS:05}.safetensors" for number in range(N_SHARDS)]
    for number, name in enumerate(names):
        save_file({f"w{number}": np.zeros(1)}, tmp_path / name)
    index = tmp_path / "model.safetensors.index.json"
    weight_map = {f"w{number}": name for number, name in enumerate(names)} | {"w0": names[1]}
    index.write_text(json.dumps({"metadata": list(range(300_000)), "weight_map": weight_map}))
    shards = [alone(tmp_path / name) for name in names]
    main = alone(index)
    whole = Checkpoint(name=main.name, files=(*main.files, *(file for shard in shards for file in shard.files)))
    finder = PartFinder([whole, *shards], ReadersHere(plugins), None)
    began = time.process_time()
    parts = list(finder.parts(whole, None))
    assert time.process_time() - began < 2
    assert parts == [url for url in (shard.files[0].url for shard in shards) if names[1] not in url]
