"""Tensors in containers, as `torch.save` writes them: every bit as `torch.load` gives it."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.errors import UnsupportedError
from filtercrawl.api.tensor_location import ITEMSIZE
from support.torch_files import bits, claimed, numbers, read, saved

BOTH = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
DTYPES = [getattr(torch, name) for name in ITEMSIZE if name != "complex32"]
KEYS = st.one_of(st.text(min_size=1, max_size=8), st.integers(0, 99))


def arbitrary(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    count = int(np.prod(shape, dtype=int)) * dtype.itemsize
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (count,), dtype=torch.uint8, generator=generator)
    return raw.view(dtype).reshape(shape)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    made = arbitrary(shape, draw(st.sampled_from(DTYPES)), draw(st.integers(0, 9)))
    match draw(st.sampled_from(["plain", "permuted", "sliced", "expanded", "parameter"])):
        case "permuted":
            return made.permute(draw(st.permutations(range(made.ndim))))
        case "sliced" if made.ndim:
            return made[..., draw(st.integers(0, shape[-1])) :: draw(st.integers(1, 2))]
        case "expanded":
            return made.unsqueeze(0).expand(3, *shape)
        case "parameter":
            return torch.nn.Parameter(made, requires_grad=False)
    return made


objects = st.recursive(
    st.one_of(tensors(), st.none(), st.integers(), st.text(max_size=4), st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4).map(OrderedDict),
        st.dictionaries(KEYS, inner, max_size=3).map(lambda d: defaultdict(list, d)),
    ),
    max_leaves=12,
)


def leaves(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [leaf for child in children for leaf in leaves(child)]


@settings(max_examples=60, deadline=None)
@given(
    value=st.dictionaries(KEYS, objects, max_size=5),
    protocol=st.sampled_from([2, 3, 4, 5]),
    zipped=st.booleans(),
)
def test_nested_containers_keep_every_bit(value: dict[Any, object], protocol: int, zipped: bool) -> None:
    try:
        data = saved(value, zipped=zipped, pickle_protocol=protocol)
    except RuntimeError:  # the old format refuses two dtypes over one storage
        return
    found = list(read(data).values())
    wanted = leaves(value)
    if zipped:  # torch does not read back all that it writes in its old format
        loaded = leaves(torch.load(io.BytesIO(data), weights_only=False))
        assert [bits(tensor) for tensor in loaded] == [bits(tensor) for tensor in wanted]
    assert len(found) == len(wanted)
    for stored, tensor in zip(found, wanted, strict=True):
        assert stored.shape == tuple(tensor.shape)
        assert f"torch.{stored.dtype}" == str(tensor.dtype)
        assert numbers(stored) == bits(tensor)
        assert stored.reason == ("complex" if tensor.is_complex() else None)


@BOTH
def test_names_roots_and_keys(zipped: bool) -> None:
    one = torch.ones(1)
    value = {
        "epoch": 3,
        "state_dict": OrderedDict({"module.conv1.weight": one}),
        "optimizer": {"state": {2: {"exp_avg": one}}, "param_groups": [{"params": [0, one]}]},
        "top": one,
    }
    found = read(saved(value, zipped=zipped))
    assert {name: (tensor.root, tensor.key, tensor.layer) for name, tensor in found.items()} == {
        "state_dict.module.conv1.weight": (("state_dict",), "module.conv1.weight", None),
        "optimizer.state.2.exp_avg": (("optimizer", "state", "2"), "exp_avg", None),
        "optimizer.param_groups.0.params.1": (("optimizer", "param_groups", "0", "params"), "1", None),
        "top": ((), "top", None),
    }


@BOTH
def test_a_bare_tensor_is_called_tensor(zipped: bool) -> None:
    (tensor,) = read(saved(torch.arange(6.0).reshape(2, 3).T, zipped=zipped)).values()
    assert (tensor.name, tensor.key, tensor.root, tensor.shape) == ("tensor", "tensor", (), (3, 2))
    assert numbers(tensor) == bits(torch.arange(6.0).reshape(2, 3).T)


def test_paths_that_read_the_same_stay_apart() -> None:
    found = read(saved({"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}}))
    assert [numbers(found[name]) for name in ("a.b", "a.b#2")] == [bits(torch.zeros(1)), bits(torch.ones(1))]


@BOTH
def test_tied_tensors_are_there_twice(zipped: bool) -> None:
    table = torch.rand(4, 2)
    found = read(saved({"in": table, "out": table, "part": table[1:]}, zipped=zipped))
    assert list(found) == ["in", "out", "part"]
    assert numbers(found["in"]) == numbers(found["out"]) == bits(table)
    assert numbers(found["part"]) == bits(table[1:])


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@BOTH
def test_quantised_tensors_carry_their_scales(zipped: bool) -> None:
    weight = torch.rand(3, 2, 3, 3)
    one = torch.quantize_per_tensor(weight, 0.02, 7, torch.quint8)
    many = torch.quantize_per_channel(weight, torch.tensor([0.1, 0.2, 0.4]), torch.tensor([0, -1, 2]), 0, torch.qint8)
    found = read(saved({"one": one, "many": many}, zipped=zipped))
    assert found["one"].dtype == "uint8"
    assert found["many"].dtype == "int8"
    for name, tensor in (("one", one), ("many", many)):
        stored = found[name]
        assert numbers(stored) == bits(tensor.int_repr())
        assert stored.quantization is not None
        scale = np.array(stored.quantization.scale, np.float32).reshape(-1, 1, 1, 1)
        zero = np.array(stored.quantization.zero_point, np.int64).reshape(-1, 1, 1, 1)
        codes = tensor.int_repr().numpy().astype(np.int64) - zero
        np.testing.assert_array_equal(codes.astype(np.float32) * scale, tensor.dequantize().numpy())


@BOTH
def test_tensors_without_strided_numbers_are_unreadable(zipped: bool) -> None:
    value = {
        "meta": torch.empty(2, 3, device="meta"),
        "sparse": torch.eye(3).to_sparse(),
        "here": torch.ones(1),
    }
    found = read(saved(value, zipped=zipped))
    assert {name: (t.shape, t.dtype, t.reason, t.location is None) for name, t in found.items()} == {
        "meta": ((2, 3), "float32", "unreadable", True),
        "sparse": ((3, 3), "float32", "unreadable", True),
        "here": ((1,), "float32", None, False),
    }


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8", "bool"])
def test_numpy_arrays_are_tensors_too(zipped: bool, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    value = {"c": array, "f": np.asfortranarray(array), "scalar": np.float64(3), "text": np.array(["a"])}
    found = read(saved(value, zipped=zipped))
    assert list(found) == ["c", "f", "text"]
    assert numbers(found["c"]) == numbers(found["f"]) == array.tobytes()
    assert found["text"].reason == "unreadable"


@BOTH
def test_a_storage_inside_the_pickle_is_read(zipped: bool) -> None:
    class Nested:
        def __reduce__(self) -> tuple[object, ...]:
            return torch.storage._load_from_bytes, (saved(torch.arange(4.0).untyped_storage(), zipped=zipped),)

    class Holder:
        def __reduce__(self) -> tuple[object, ...]:
            arguments: tuple[object, ...] = (Nested(), 0, (2, 2), (1, 2), False, OrderedDict(), torch.float32)
            return torch._utils._rebuild_tensor_v3, arguments

    found = read(saved({"x": Holder()}))
    assert numbers(found["x"]) == bits(torch.arange(4.0).reshape(2, 2).T)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\x80", b"PK\3\4", b"PK\5\6" + bytes(18), b"L" * 90, b"\x80\x02" + bytes(100)),
        *(pickle.dumps({"a": 1}), pickle.dumps(np.ones(3))),
    ],
)
def test_foreign_bytes_stay_unclaimed(data: bytes) -> None:
    assert claimed(data) == []


def test_archives_that_were_packed_again_are_read() -> None:
    value = {"w": torch.arange(1000.0)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(value))) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert len(buffer.getvalue()) < 4000
    assert numbers(read(buffer.getvalue())["w"]) == bits(value["w"])


def test_the_tar_files_of_old_say_that_they_are_too_old() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("sys_info"))
    assert claimed(buffer.getvalue()) == ["torch-legacy"]
    with pytest.raises(UnsupportedError, match="load and save it with a newer torch"):
        read(buffer.getvalue())


def test_formats_are_told_apart_by_content() -> None:
    assert claimed(saved({})) == ["torch-zip"]
    for protocol in (2, 4, 5):
        assert claimed(saved({}, zipped=False, pickle_protocol=protocol)) == ["torch-legacy"]


def test_numbers_are_not_read_with_the_header() -> None:
    from filtercrawl.api.range_file import MemoryFile
    from support.torch_files import READERS, OneFile

    class Counting(MemoryFile):
        taken = 0

        def read(self, offset: int, length: int) -> bytes:
            self.taken += length
            return super().read(offset, length)

    for zipped, name in ((True, "torch-zip"), (False, "torch-legacy")):
        file = Counting(saved({str(i): torch.zeros(1 << 18) for i in range(4)}, zipped=zipped))
        assert READERS[name].can_read(file)
        assert len(list(READERS[name].tensors(OneFile(file)))) == 4
        assert file.taken < 400_000 < file.size
