"""Train a small autoencoder on the tokens of networks, and try it on networks that it never saw.

    python examples/weight_space.py kernels

A token is a part of a filter; the autoencoder sees it with its mask and its place in the network, and keeps a few
numbers of it. Networks that are kin are in one split, so that nothing of a test network was seen in training.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import torch
from torch import nn

import filtercrawl

TOKEN_SIZE = 72  # eight kernels of 3x3
CODE_SIZE = 24


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Tokens of several networks, each layer scaled to standard deviation 1.

    Attributes:
        values: float32 `[n, TOKEN_SIZE]`.
        mask: float32 `[n, TOKEN_SIZE]`: 0 where a token is padded.
        depth: float32 `[n, 1]`: place of the layer in its network, from 0 to 1.
    """

    values: torch.Tensor
    mask: torch.Tensor
    depth: torch.Tensor


class Autoencoder(nn.Module):
    """Keeps CODE_SIZE numbers of a token."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2 * TOKEN_SIZE + 1, 256), nn.GELU(), nn.Linear(256, CODE_SIZE))
        self.decoder = nn.Sequential(nn.Linear(CODE_SIZE + 1, 256), nn.GELU(), nn.Linear(256, TOKEN_SIZE))

    def forward(self, tokens: Tokens) -> torch.Tensor:
        """Return tokens as the decoder makes them of their codes, `[n, TOKEN_SIZE]`."""
        code = self.encoder(torch.cat([tokens.values, tokens.mask, tokens.depth], 1))
        decoded: torch.Tensor = self.decoder(torch.cat([code, tokens.depth], 1))
        return decoded


def read(dataset: str, split: str, most: int) -> Tokens:
    """Return tokens of the networks of a split, at most so many of each network.

    Raises:
        UsageError: The split has no networks.
    """
    values, masks, depths = [], [], []
    where = "weight_kind = 'learned' and n_nonfinite = 0 and norm_linf > 0"
    for network in filtercrawl.TokenDataset(dataset, token_size=TOKEN_SIZE, where=where, split=split):
        sequence = network.sequence
        layer = sequence.positions[:, 1].long()
        numbers = sequence.mask.sum(1).double()
        squares = sequence.tokens.double().square().sum(1)
        total = torch.zeros(len(network.layers), 2, dtype=torch.float64)
        total.index_add_(0, layer, torch.stack([squares, numbers], 1))
        scale = (total[:, 0] / total[:, 1]).sqrt().float()
        chosen = torch.randperm(len(sequence), generator=torch.Generator().manual_seed(0))[:most]
        values.append((sequence.tokens / scale[layer, None])[chosen])
        masks.append(sequence.mask[chosen].float())
        depths.append((layer / max(len(network.layers) - 1, 1))[chosen, None])
    return Tokens(values=torch.cat(values), mask=torch.cat(masks), depth=torch.cat(depths))


def explained(model: Autoencoder, tokens: Tokens) -> float:
    """Return the share of the weights' sum of squares that the autoencoder restores; 0 for one that returns zeros."""
    with torch.no_grad():
        error = ((model(tokens) - tokens.values) * tokens.mask).square().sum()
    return float(1 - error / tokens.values.square().sum())


def train(tokens: Tokens, steps: int) -> Autoencoder:
    """Train on batches of tokens."""
    torch.manual_seed(0)
    model = Autoencoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = torch.randint(len(tokens.values), (512,))
        batch = Tokens(values=tokens.values[chosen], mask=tokens.mask[chosen], depth=tokens.depth[chosen])
        loss = ((model(batch) - batch.values) * batch.mask).square().sum() / batch.mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def main() -> None:
    """Train, and print what share of the weights of new networks is restored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a folder or org/name[@revision]")
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    seen, new = read(arguments.dataset, "train", 4000), read(arguments.dataset, "test", 4000)
    model = train(seen, arguments.steps)
    sys.stdout.write(f"{len(seen.values):,} tokens for training, {len(new.values):,} of other networks\n")
    for name, tokens in (("training", seen), ("new networks", new)):
        restored = explained(model, tokens)
        sys.stdout.write(f"{name}: {restored:.1%} of the energy from {CODE_SIZE} of {TOKEN_SIZE} numbers\n")


if __name__ == "__main__":
    main()
