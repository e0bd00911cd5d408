"""Train a small network to read digits, and keep its weights at 30 steps: a training run for `filtercrawl sync local:`.

The digits are drawn with the fonts that matplotlib ships, turned, moved and covered with noise, so that nothing has to
be downloaded.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import save_file
from torch import nn

SIDE = 28
BATCH = 64


def network() -> nn.Sequential:
    """Return the untrained network, for images `[n, 1, 28, 28]`."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 7, padding=3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def digits(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw n digits; returns images `[n, 1, 28, 28]` in [0, 1], with noise, and labels `[n]`."""
    random = np.random.default_rng(seed)
    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"
    files = sorted(path for path in folder.glob("*.ttf") if path.stem.startswith(("DejaVu", "STIXGeneral")))
    fonts = [ImageFont.truetype(str(file), size) for file in files for size in (18, 22, 26)]
    labels = random.integers(0, 10, n)
    images = np.empty((n, 1, SIDE, SIDE), np.float32)
    for i, label in enumerate(labels.tolist()):
        image = Image.new("L", (SIDE, SIDE))
        place = tuple((SIDE / 2 + random.uniform(-3, 3, 2)).tolist())
        font = fonts[int(random.integers(len(fonts)))]
        ImageDraw.Draw(image).text(place, str(label), fill=255, font=font, anchor="mm")
        images[i, 0] = np.asarray(image.rotate(random.uniform(-20, 20), Image.Resampling.BILINEAR)) / 255
    images += random.normal(0, 0.2, images.shape).astype(np.float32)
    return torch.from_numpy(images), torch.from_numpy(labels)


def steps_to_keep(last: int) -> set[int]:
    """Return 0 and up to 29 further steps, at equal distances on a logarithmic scale."""
    found = np.arange(1)
    for points in range(1, last + 1):
        found = np.unique(np.geomspace(1, last, points).round().astype(int))
        if len(found) == 29:
            break
    return {0, *found.tolist()}


def train(folder: Path, steps: int, n_images: int, seed: int = 0) -> None:
    """Train, and write `digits/checkpoint-STEP/model.safetensors` at 30 steps, and `metadata.csv` with the accuracy.

    Args:
        folder: Where to write.
        steps: Steps of the optimizer.
        n_images: Images to train on.
        seed: Seed of the images, the weights and their order.
    """
    torch.manual_seed(seed)
    images, labels = digits(n_images, seed)
    unseen, truth = digits(500, seed + 1)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    kept = steps_to_keep(steps)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "task", "license", "metrics"])
        for step in range(steps + 1):
            if step in kept:
                accuracy = float((model(unseen).argmax(1) == truth).float().mean())
                name = f"digits/checkpoint-{step}/model.safetensors"
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                save_file(model.state_dict(), folder / name)
                metrics = json.dumps({"accuracy on drawn digits": accuracy, "evidence": "examples/training_run.py"})
                table.writerow([name, "image-classification", "CC0-1.0", metrics])
            batch = torch.randint(n_images, (BATCH,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a small network, and keep its weights at 30 steps.")
    parser.add_argument("folder", type=Path, help="where to write the checkpoints")
    parser.add_argument("--steps", type=int, default=1000, help="steps of the optimizer")
    parser.add_argument("--images", type=int, default=10_000, help="images to train on")
    chosen = parser.parse_args()
    train(chosen.folder, chosen.steps, chosen.images)
