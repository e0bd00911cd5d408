"""What the code of graph modules proves about the parameters that it reads."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from filtercrawl.extraction.classify import classify_tensors
from filtercrawl_plugins.readers.torch.fx_code import MAX_CODE_BYTES, code_uses
from support.torch_files import read, saved


class L1(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (functional.unfold(x, 3).unsqueeze(1) - self.weight.flatten(1)[None, :, :, None]).abs().sum(2)


class Centered(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight, self.bias)


class Plain(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, weight=self.weight, bias=self.bias)


class Product(nn.Conv2d):
    """A convolution as the product of a matrix and columns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight.flatten(1) @ functional.unfold(x, 3)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("long", [False, True])
def test_what_a_graph_does_with_parameters_decides(zipped: bool, long: bool) -> None:
    network = nn.Sequential(Plain(3, 8, 3), Centered(8, 8, 3), nn.Conv2d(8, 8, 3), nn.Sequential(L1(8, 8, 3)))
    graph = fx.symbolic_trace(network)
    if long:  # the text is then not held in memory
        graph.graph.set_codegen(Padded())
        graph.recompile()
    classified = classify_tensors(read(saved({"model": graph}, zipped=zipped)).values())
    kinds = [(layer.tensor.key, layer.weight_kind, layer.operator_verified) for layer in classified.layers]
    assert kinds == [
        ("0.weight", "learned", False), ("1.weight", "standardized", False), ("2.weight", "learned", True)
    ]  # fmt: skip
    reasons = {entry.tensor: entry.reason for entry in classified.ledger}
    assert reasons["model._modules.3._modules.0._parameters.weight"] == "nonstandard_operator"


class Padded(fx.CodeGen):
    """Writes code with a long comment."""

    def additional_globals(self) -> list[tuple[str, object]]:
        return []

    def gen_fn_def(self, *arguments: object) -> str:
        return f"\n# conv2d({'x' * 100_000})\n" + super().gen_fn_def(*arguments)  # type: ignore[arg-type]


def test_a_product_of_columns_may_be_a_convolution() -> None:
    graph = fx.symbolic_trace(nn.Sequential(Product(3, 8, 3)))
    assert code_uses(graph.code) == {}


def uses(*lines: str) -> tuple[set[str], set[str]]:
    """Return the attributes that weights are computed from, and those that are not convolved, of the module `a`."""
    found = code_uses("\ndef forward(self, x):\n" + "".join(f"    {line}\n" for line in lines)).get(("a",))
    return (set(), set()) if found is None else (set(found.computed_from), set(found.not_convolved))


READ = "w = self.a.weight"


@pytest.mark.parametrize(
    "line",
    [
        "y = torch.conv2d(x, w)",
        "y = torch.conv2d(input = x, weight = w)",
        "y = my_package_function(w, x)",
        "y = self.other(x, w)",
        "y = torch.ops.custom.op(w)",
        "x += w;  iadd = x",
        "x[0] = w;  setitem = x",
        "y = x.copy_(w)",
        "y = self.a(x)",
    ],
)
def test_what_is_convolved_or_cannot_be_followed_proves_nothing(line: str) -> None:
    assert uses(READ, line) == (set(), set())


def test_a_weight_is_followed_to_its_convolution() -> None:
    assert uses(READ, "v = w.view(8, -1);  w = None", "y = torch.sub(x, v)") == (set(), {"weight"})
    assert uses(READ, "m = torch.mean(w)", "y = torch.conv2d(x, w - m, None)") == ({"weight"}, set())
    assert uses(READ, "y = x - w", "z = torch.conv2d(y, self_b)", "u = self.next(z)") == (set(), {"weight"})
    attended = ("b = self.b.weight", "k = torch.conv2d(x, w)", "v = b * k", "y = torch.conv2d(x, v)")
    assert uses(READ, *attended) == (set(), set())


def test_a_parameter_of_a_called_module_proves_nothing() -> None:
    assert uses("y = self.a(x)", 'w = getattr(self, "a").weight', "z = y - w") == (set(), set())
    assert code_uses('w = getattr(getattr(self, "0"), "1").weight')["0", "1"].not_convolved == {"weight"}


@pytest.mark.parametrize(
    "text",
    ["w = self" + ".a" * 100_000, "w = " + "getattr(" * 100_000, "y = f(" + "(" * 500_000, "a = a + b\n" * 50_000],
)
def test_hostile_code_takes_little_time(text: str) -> None:
    assert len(text) <= MAX_CODE_BYTES
    assert code_uses(text) == {}
