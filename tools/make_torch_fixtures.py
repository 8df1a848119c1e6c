"""Write tests/fixtures/torch_*: small checkpoints of real PyTorch, each beside its tensors as a .npz.

Run with any Python that has PyTorch and numpy; kerafer itself needs neither this script nor PyTorch:

    python tools/make_torch_fixtures.py

The tensors are the same on every run. The bytes of the legacy file are not: it names storages by memory address.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "fixtures"


class RecorderMeter:
    """Stands for the class whose object EfficientFace's training script leaves in its checkpoints."""

    def __init__(self, epochs: int) -> None:
        self.epoch_losses = np.zeros((epochs, 2), dtype=np.float32)
        self.best = np.float64(0.5)


def network() -> torch.nn.Sequential:
    """Return a small network with random weights, after one step in training."""
    torch.manual_seed(0)
    layers = (
        torch.nn.Conv2d(3, 4, 3, bias=False),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 7),
    )
    return torch.nn.Sequential(*layers)


def write(name: str, content: object, state: dict[str, torch.Tensor], zipped: bool = True) -> None:
    """Write a checkpoint, and beside it what a reader must give."""
    torch.save(content, FOLDER / name, _use_new_zipfile_serialization=zipped)
    arrays = {key: (t.float() if t.dtype == torch.bfloat16 else t).detach().numpy() for key, t in state.items()}
    np.savez(FOLDER / f"{name.partition('.')[0]}.npz", **arrays)


def main() -> None:
    """Write the three checkpoints."""
    FOLDER.mkdir(exist_ok=True)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(2, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    state = model.state_dict()
    write("torch_zip.pth", state, state)

    # The shape of EfficientFace's checkpoints, with the names that DataParallel gives
    checkpoint = {
        "epoch": 3,
        "arch": "efficientface",
        "state_dict": OrderedDict((f"module.{key}", tensor) for key, tensor in state.items()),
        "best_acc": torch.tensor(88.36),
        "optimizer": optimizer.state_dict(),
        "recorder": RecorderMeter(4),
    }
    write("torch_legacy.pth.tar", checkpoint, state, zipped=False)

    base = torch.arange(24, dtype=torch.float32)
    odd = {
        "transposed": base.reshape(4, 6).T,
        "every_second": base[1::2],
        "part": base.reshape(2, 3, 4)[1, :, 1:3],
        "shared": base,
        "repeated": torch.tensor([1.5]).expand(3, 2),
        "scalar": torch.tensor(7, dtype=torch.int64),
        "empty": torch.zeros(0, 3),
        "double": torch.linspace(0, 1, 5, dtype=torch.float64),
        "half": torch.linspace(-2, 2, 5).half(),
        "bfloat16": torch.linspace(-3, 3, 6).bfloat16().reshape(2, 3).T,
        "int32": torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32),
        "int16": torch.tensor([-(2**15), 5], dtype=torch.int16),
        "int8": torch.tensor([-128, 127], dtype=torch.int8),
        "uint8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([[True, False], [False, True]]),
        "parameter": torch.nn.Parameter(torch.ones(2, 2) / 3),
    }
    write("torch_odd.pt", {"model": odd}, odd)


if __name__ == "__main__":
    main()
