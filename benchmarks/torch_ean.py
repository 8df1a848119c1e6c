"""EAN in plain PyTorch, trained as fast as PyTorch does it: what `throughput.py --torch PYTHON` compares with.

python benchmarks/torch_ean.py --arrays FILE.npz --threads 2

It runs under an interpreter that has torch and numpy, and needs nothing else. The file holds `images` (n, 48, 48)
uint8, `labels` (n,), the weights to start from under `state/NAME`, and trained ones under `proof/NAME` with the
`logits` (m, 7) that they must give for `probe` (m, 44, 44, 3) float32. It tries what a user would try (memory format,
`torch.compile`, workers of the loader), prints one line of JSON, and then, for each number of steps that it reads,
trains and prints another.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, RandomSampler

BATCH, CROP = 128, 44
CHANNELS, EXPANSIONS, STRIDES = (8, 16, 16, 32, 32, 64), (3, 6, 6, 6, 6, 3), (2, 2, 1, 2, 1, 2)
WARM_UP, TRIAL, TRIALS = 4, 20, 2  # steps before a trial, steps of a trial, trials of which the best counts


class Attention(nn.Module):
    """Efficient channel attention over 3 neighbouring channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale each channel: (n, channels, height, width) to the same."""
        w = self.conv(x.mean((2, 3))[:, None])[:, 0].sigmoid()  # (n, channels)
        return x * w[:, :, None, None]


class Block(nn.Module):
    """Expand, depthwise, project, attention; a shortcut where the shape allows."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        self.b = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            Attention(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, outputs, height / stride, width / stride), rounded up."""
        h = self.b(x)
        return x + h if self.shortcut else h


class Network(nn.Module):
    """EAN with kerafer's names of layers (`kerafer.models.ean.torch_names`)."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
        inputs = 16
        for outputs, expansion, stride in zip(CHANNELS, EXPANSIONS, STRIDES, strict=True):
            layers.append(Block(inputs, outputs, expansion, stride))
            inputs = outputs
        self.f = nn.Sequential(*layers, nn.Conv2d(inputs, 7, 3, 1, 1, bias=False), nn.BatchNorm2d(7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits: (n, 3, 44, 44) to (n, 7)."""
        return self.f(x).mean((2, 3))


class Faces(Dataset):
    """Pictures of which a whole batch is augmented at once."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, channels_last: bool) -> None:
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)
        self.channels_last = channels_last

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, index: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return randomly cut and mirrored pictures, (n, 3, 44, 44) float32 in [0, 1], and labels (n,)."""
        chosen = torch.tensor(index)
        n, room = len(chosen), self.images.shape[1] - CROP + 1
        steps = torch.arange(CROP)
        rows = torch.randint(room, (n, 1)) + steps  # (n, 44)
        columns = torch.randint(room, (n, 1)) + steps
        columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
        cut = self.images[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]  # (n, 44, 44)
        x = cut.float().div_(255.0)[:, None].expand(-1, 3, -1, -1)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return x.contiguous(memory_format=layout), self.labels[chosen]


class Trainer:
    """One way to train the network."""

    def __init__(self, arrays: dict[str, np.ndarray], channels_last: bool, compiled: bool, workers: int) -> None:
        self.settings = {"channels_last": channels_last, "compiled": compiled, "workers": workers}
        self.network = network(arrays).train()
        if channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)
        self.forward: Callable[[torch.Tensor], torch.Tensor] = torch.compile(self.network) if compiled else self.network
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9, fused=True)
        self.data, self.workers = Faces(arrays["images"], arrays["labels"], channels_last), workers

    def batches(self, count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Return an iterator over shuffled batches."""
        loader = DataLoader(
            self.data,
            BATCH,
            sampler=RandomSampler(self.data, num_samples=count * BATCH),
            num_workers=self.workers,
            collate_fn=lambda batch: batch,
        )
        return iter(loader)

    def train(self, steps: int) -> dict[str, float]:
        """Train for some steps; the first, which waits for the loader's workers, is not timed."""
        losses, start = [], 0.0
        for number, (x, y) in enumerate(self.batches(steps)):
            self.optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(self.forward(x), y)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
            if number == 0:
                start = time.perf_counter()
        rate = (steps - 1) * BATCH / (time.perf_counter() - start)
        return {"images_per_second": rate, "loss": sum(losses) / steps}


def network(arrays: dict[str, np.ndarray], which: str = "state") -> Network:
    """Return the network with weights of the file."""
    made, prefix = Network(), f"{which}/"
    state = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(prefix)}
    counters = {k: v for k, v in made.state_dict().items() if k.endswith("num_batches_tracked")}
    made.load_state_dict({**state, **counters})
    return made


def difference(arrays: dict[str, np.ndarray]) -> float:
    """Return how far the network's logits for the probe are from those of the file, at most."""
    with torch.no_grad():
        given = network(arrays, "proof").eval()(torch.from_numpy(arrays["probe"]).permute(0, 3, 1, 2))
    return float(np.abs(given.numpy() - arrays["logits"]).max())


def tried(arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with the images a second of a short training, or with why they do not work."""
    try:
        trainer = Trainer(arrays, **settings)
        trainer.train(WARM_UP)
        return {**settings, "images_per_second": max(trainer.train(TRIAL)["images_per_second"] for _ in range(TRIALS))}
    except (RuntimeError, OSError) as error:  # such as a compiler that is not there
        return {**settings, "images_per_second": 0.0, "failed": f"{type(error).__name__}: {error}".splitlines()[0]}


def best(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the settings of the fastest trial."""
    fastest = max(trials, key=lambda trial: trial["images_per_second"])
    return {k: fastest[k] for k in ("channels_last", "compiled", "workers")}


def main() -> None:
    """Choose the fastest way, then train as often as is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arrays", required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    with np.load(arguments.arrays, allow_pickle=False) as file:
        arrays = dict(file)
    trials = [
        tried(arrays, {"channels_last": channels_last, "compiled": compiled, "workers": 0})
        for compiled in (False, True)
        for channels_last in (False, True)
    ]
    chosen = best(trials)
    trials += [tried(arrays, {**chosen, "workers": workers}) for workers in (1, 2)]
    trainer = Trainer(arrays, **best(trials))
    trainer.train(WARM_UP)
    facts = {
        "version": torch.__version__,
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "largest_difference_of_logits": difference(arrays),
        "chosen": trainer.settings,
        "tried": [{**t, "images_per_second": round(t["images_per_second"])} for t in trials],
    }
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        print(json.dumps(trainer.train(int(line))), flush=True)


if __name__ == "__main__":
    main()
