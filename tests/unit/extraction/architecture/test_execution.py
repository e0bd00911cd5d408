"""Networks are run on the first example that they take, as a whole or by their parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import flex_attention

from filtercrawl.extraction.architecture import Structure, on_meta, trace
from filtercrawl.extraction.architecture.operators import peak_memory, zeros


class Tower(nn.Module):
    """Two convolutions; `forward` takes a keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.body = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        return self.body(self.stem(pixels)).flatten(2).mT


class Language(nn.Module):
    """Puts the features of an image at the places of token 7, as many as there are, and convolves over the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = Tower()
        self.embedding = nn.Embedding(10, 8)
        self.mixer = nn.Conv1d(8, 8, 3, padding=1)

    def forward(self, ids: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        values, features, places = self.embedding(ids), self.tower(pixels=pixels), ids == 7
        if values[places].numel() != features.numel():
            raise ValueError("features and tokens do not match")
        mixed = values.masked_scatter(places[..., None].expand_as(values), features)
        return self.mixer(mixed.mT)


def image(side: int = 16) -> torch.Tensor:
    return torch.empty(1, 3, side, side, device="meta")


def lengths(structure: Structure) -> dict[str, int | None]:
    return {name: facts.depth and facts.depth.conv_depth for name, facts, _ in structure.convolutions()}


def test_the_first_call_that_runs_is_taken() -> None:
    structure = trace(on_meta(Tower), [{"": {"pixels": image()[0, 0]}}, {"": {"words": 1}}, {"": {"pixels": image()}}])
    assert structure.problem is None
    assert lengths(structure) == {"stem.weight": 0, "body.weight": 1}


def test_tokens_keep_their_numbers_beside_tensors_without_any() -> None:
    plain, placed = torch.ones(1, 20, dtype=torch.long), torch.tensor([[1, *[7] * 16, 1]])
    structure = trace(on_meta(Language), [{"": {"ids": ids, "pixels": image()}} for ids in (plain, placed)])
    assert structure.problem is None
    assert lengths(structure) == {"tower.stem.weight": 0, "tower.body.weight": 1, "mixer.weight": 2}


class Forgetful(Language):
    """Leaves the image aside where the text has no place for it."""

    def forward(self, ids: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        return super().forward(ids, pixels) if (ids == 7).any() else self.mixer(self.embedding(ids).mT)


def test_a_call_that_leaves_an_input_aside_is_not_taken() -> None:
    plain, placed = torch.ones(1, 20, dtype=torch.long), torch.tensor([[1, *[7] * 16, 1]])
    calls = [{"": {"ids": ids, "pixels": image()}} for ids in (plain, placed)]
    assert lengths(trace(on_meta(Forgetful), calls)) == {
        "tower.stem.weight": 0,
        "tower.body.weight": 1,
        "mixer.weight": 2,
    }
    structure = trace(on_meta(Forgetful), calls[:1])
    assert structure.problem == "ValueError: it leaves aside the input pixels"
    assert set(lengths(structure).values()) == {None}


class Optional(Tower):
    """Convolves an image if there is one."""

    def forward(self, *, pixels: torch.Tensor | None = None) -> torch.Tensor | None:
        return None if pixels is None else super().forward(pixels=pixels)


def test_a_call_that_reaches_no_convolution_is_not_taken() -> None:
    assert lengths(trace(on_meta(Optional), [{"": {}}, {"": {"pixels": image()}}])) == {
        "stem.weight": 0,
        "body.weight": 1,
    }
    assert trace(on_meta(Optional), [{"": {}}]).problem == "ValueError: it reaches no convolution"


def test_parts_are_called_alone() -> None:
    structure = trace(on_meta(Language), [{"tower": {"pixels": image()}}])
    assert structure.problem is None
    assert lengths(structure) == {"tower.stem.weight": 0, "tower.body.weight": 1, "mixer.weight": None}
    calls = {name: convolution.n_calls for name, _, convolution in structure.convolutions()}
    assert calls == {"tower.stem.weight": 1, "tower.body.weight": 1, "mixer.weight": None}
    assert structure.facts["embedding.weight"].reason == "embedding"


class Functional(nn.Module):
    """Convolves with a parameter that no module of torch explains."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = Tower()
        self.kernels = nn.Parameter(torch.empty(8, 8, 3, 3))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(self.tower.stem(pixels), self.kernels)


class Tiled(Tower):
    """Takes images only after `use_tiles`."""

    tiles = False

    def use_tiles(self) -> None:
        self.tiles = True

    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        if not self.tiles:
            raise NotImplementedError("only in tiles")
        return super().forward(pixels=pixels)


def test_a_method_is_called_before_the_network_and_leaves_no_trace() -> None:
    module = on_meta(Tiled)
    structure = trace(module, [{"": {"pixels": image()}}, {"use_tiles": {}, "": {"pixels": image()}}])
    assert structure.problem is None
    assert lengths(structure) == {"stem.weight": 0, "body.weight": 1}
    assert not module.tiles


class Session:
    """Keeps what a network computed of an image."""

    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []


class Video(Tower):
    """Looks at numbers after it has kept something, and computes nothing that the session has already."""

    def forward(self, *, session: Session, pixels: torch.Tensor) -> torch.Tensor:
        if not session.kept:
            session.kept.append(super().forward(pixels=pixels))
        return session.kept[0] if session.kept[0].sum() > 0 else pixels


def test_a_session_is_new_for_each_attempt() -> None:
    session = Session()
    structure = trace(on_meta(Video), [{"": {"session": session, "pixels": image()}}])
    assert structure.problem is None
    assert lengths(structure) == {"stem.weight": 0, "body.weight": 1}
    assert session.kept == []


class Inference(Tower):
    @torch.inference_mode()
    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        return super().forward(pixels=pixels.to("cpu", torch.float32))


def test_convolutions_in_inference_mode_are_seen() -> None:
    structure = trace(on_meta(Inference), [{"": {"pixels": image()}}])
    assert structure.problem is None
    assert lengths(structure) == {"stem.weight": 0, "body.weight": 1}


class Attentive(Tower):
    """Attends to each patch of an image; the heads of keys and values are fewer."""

    def __init__(self) -> None:
        super().__init__()
        self.end = nn.Conv1d(8, 8, 1)

    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        values = super().forward(pixels=pixels).unflatten(-1, (4, 2)).mT.transpose(1, 2)
        attended = flex_attention.flex_attention(values, values[:, :1], values[:, :1], enable_gqa=True)
        return self.end(attended.transpose(1, 2).flatten(2).mT)


def test_attention_that_exists_for_real_devices_only_passes() -> None:
    structure = trace(on_meta(Attentive), [{"": {"pixels": image()}}])
    assert structure.problem is None
    assert lengths(structure) == {"stem.weight": 0, "body.weight": 1, "end.weight": 2}


def test_a_tensor_outside_the_called_parts_is_not_judged() -> None:
    assert "kernels" not in trace(on_meta(Functional), [{"tower": {"pixels": image()}}]).facts
    assert trace(on_meta(Functional), [{"": {"pixels": image()}}]).facts["kernels"].convolution is not None


class Masked(Tower):
    """Asks for the numbers of a mask, as attention does."""

    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        found = super().forward(pixels=pixels)
        return found if (found > 0).all() else 2 * found


def test_a_condition_on_numbers_is_false_without_numbers() -> None:
    module = Masked().to("meta")
    structure = trace(module, [{"": {"pixels": image()}}])
    assert lengths(structure) == {"stem.weight": 0, "body.weight": 1}
    assert module.body.weight.is_meta


class Checked(Masked):
    """Checks by their numbers that an image has as many features as the text has places, as transformers does."""

    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        found = super().forward(pixels=pixels)
        torch._check_tensor_all_with(ValueError, (found > 0).nonzero().sum() == found.numel(), None)
        torch._check_with(ValueError, found[found > 0].numel() == 0, None)
        return found


def test_a_check_of_numbers_passes_without_numbers() -> None:
    module = Checked().to("meta")
    assert lengths(trace(module, [{"": {"pixels": image()}}])) == {"stem.weight": 0, "body.weight": 1}
    assert module.body.weight.is_meta
    with pytest.raises(ValueError, match="wrong"):
        torch._check_tensor_all_with(ValueError, torch.tensor(False), lambda: "wrong")


def test_checks_of_shapes_remain() -> None:
    structure = trace(Checked().to("meta"), [{"": {"pixels": image()[:, :2]}}])
    assert structure.problem is not None
    assert set(lengths(structure).values()) == {None}


class Precise(Tower):
    """Leaves the half precision of its caller, and goes to the device of other inputs."""

    def forward(self, *, pixels: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast(pixels.device.type, enabled=False):
            return super().forward(pixels=pixels.to(ids.device))


def test_precision_and_device_of_an_input_are_those_of_any() -> None:
    original = torch.autocast
    module = Precise().to("meta")
    structure = trace(module, [{"": {"pixels": image(), "ids": torch.ones(4, dtype=torch.long)}}])
    assert lengths(structure) == {"stem.weight": 0, "body.weight": 1}
    assert module.body.weight.is_meta
    assert torch.autocast is original


class Sized(Tower):
    """Computes sizes with a tensor on the device of the image, as detectors do for feature maps."""

    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        sizes = torch.tensor([[4, 4]], device=pixels.device)
        height, width = sizes[0].tolist()
        return super().forward(pixels=pixels)[:, : height * width] * sizes.to(pixels.dtype).sum()


def test_tensors_made_of_numbers_keep_them() -> None:
    module = Sized().to("meta")
    assert lengths(trace(module, [{"": {"pixels": image()}}])) == {"stem.weight": 0, "body.weight": 1}
    assert module.body.weight.is_meta


class Pairs(Tower):
    """Makes a mask over all pairs of `n` positions, of 16 GiB for 65,536."""

    def forward(self, *, pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        found = super().forward(pixels=pixels)
        pairs = mask[:, None] * mask
        assert pairs.shape == (len(mask), len(mask))
        return found * pairs.mean()


def test_a_mask_over_all_pairs_takes_no_memory() -> None:
    before = peak_memory()
    structure = trace(on_meta(Pairs), [{"": {"pixels": image(), "mask": torch.ones(1 << 16)}}])
    assert structure.problem is None
    assert lengths(structure) == {"stem.weight": 0, "body.weight": 1}
    assert peak_memory() - before < 1 << 28


def test_sizes_computed_by_numpy_are_large_too() -> None:
    assert on_meta(lambda: nn.Linear(np.int64(1 << 15), np.int64(1 << 15))).weight.is_meta


class Large(Tower):
    """Looks at a number, and then makes a tensor of `n` numbers and the attention of `n` positions."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        found = super().forward(pixels=pixels)
        if found.sum().item() > 0:
            raise ValueError("zeros are expected")
        positions = torch.ones(self.n) + found.mean()
        return positions[:, None] * positions


@pytest.mark.parametrize(("n", "problem"), [(100, None), (1 << 16, "MemoryError: it takes too much memory")])
def test_results_on_the_cpu_are_limited(n: int, problem: str | None) -> None:
    assert trace(on_meta(lambda: Large(n)), [{"": {"pixels": image()}}]).problem == problem


class Wide(nn.Module):
    """Looks at a number of a product whose weight is too large to compute with."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4)
        self.wide = nn.Linear(8, 1 << 16)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = self.wide(self.conv(pixels).flatten(2).mT)
        assert product.sum().item() == 0
        return product


class Heavy(Tower):
    """Has weights of 4 GiB, and looks at a number."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1 << 15, 1 << 15)

    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.sum().item() == 0
        return self.linear(super().forward(pixels=pixels).new_zeros(4, 1 << 15))


def test_weights_on_the_cpu_take_no_memory() -> None:
    before = peak_memory()
    assert trace(on_meta(Heavy), [{"": {"pixels": image()}}]).problem is None
    assert peak_memory() - before < 1 << 29


def test_large_products_on_the_cpu_are_zeros() -> None:
    structure = trace(on_meta(Wide), [{"": {"pixels": image(5)}}])
    assert lengths(structure) == {"conv.weight": 0}


@pytest.mark.parametrize("attempts", [[], [{"": {}}], [{"nowhere": {"pixels": 1}}]])
def test_a_network_without_an_example_has_its_modules(attempts: list[dict[str, Any]]) -> None:
    structure = trace(on_meta(Tower), attempts)
    assert structure.problem is not None
    assert lengths(structure) == {"stem.weight": None, "body.weight": None}


@pytest.mark.parametrize("shape", [(), (0, 4), (3, 0, 2), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_zeros_are_those_of_torch(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    made = zeros(shape, dtype)
    assert made.dtype == dtype
    assert torch.equal(made, torch.zeros(shape, dtype=dtype))


class Empty(Tower):
    """Looks at a number, and convolves nothing, as masks are made for no box."""

    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        found = self.stem(pixels)
        assert found.sum().item() == 0
        return self.body(found[:0])


def test_a_convolution_of_nothing_is_reached() -> None:
    assert lengths(trace(on_meta(Empty), [{"": {"pixels": image()}}])) == {"stem.weight": 0, "body.weight": 1}
