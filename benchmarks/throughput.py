"""How fast FER2013 is read from csv, what the fused batch normalisation gains, and how fast EAN trains on a CPU.

python benchmarks/throughput.py --data fer2013:fer2013.csv [--torch PYTHON]

The training is measured for kerafer, for what a user of Keras would write, and for PyTorch (`torch_ean.py`, run by an
interpreter PYTHON that has torch; left out without one). Each is a process of its own, all start from the same
weights and see the same augmentation, and they take turns, so that whatever else the machine does hits all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import keras
import numpy as np
from common import write_result

import kerafer
from kerafer.data.dataset import FaceDataset
from kerafer.data.pipeline import TrainingBatches
from kerafer.models.ean import torch_names
from kerafer.training import TrainingRecipe
from kerafer.training.learner import Learner, accuracy
from kerafer.training.quick_layers import with_quick_layers

HERE = Path(__file__).resolve().parent
BATCH, AUGMENTATION, SEED = 128, ("random_crop", "flip"), 0
RECIPE = TrainingRecipe(
    name="throughput",
    source="this benchmark",
    epochs=1,
    batch_size=BATCH,
    learning_rate=0.01,
    schedule="constant",
    augmentation=AUGMENTATION,
)
WARM_UP = 4  # steps
TOLERANCE = 1e-4  # between the logits of both frameworks, float32

Turn = Callable[[int], dict[str, float]]


class Clock(keras.callbacks.Callback):
    """Notes when each step ended."""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forget the steps of an earlier training."""
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def timed_fit(model: keras.Model, batches: Any, steps: int) -> dict[str, float]:
    """Train for some steps; the first, which waits for the pipeline to fill, is not timed."""
    clock = Clock()
    history = model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock])
    rate = (steps - 1) * BATCH / (clock.ends[-1] - clock.ends[0])
    return {"images_per_second": rate, "loss": float(history.history["loss"][0])}


def optimizer() -> keras.optimizers.Optimizer:
    """Return what all three train with."""
    return keras.optimizers.SGD(RECIPE.learning_rate, momentum=RECIPE.momentum)


def ean(**options: Any) -> keras.Model:
    """Return EAN with the weights that all three start from, giving logits."""
    keras.utils.set_random_seed(SEED)
    return kerafer.build_model("ean", classifier_activation=None, **options)


def learner() -> Learner:
    """Return EAN as `kerafer.train` trains it."""
    model = Learner(with_quick_layers(ean()), RECIPE)
    model.compile(optimizer(), weighted_metrics=[accuracy], jit_compile=False)
    return model


def training_batches(data: FaceDataset) -> TrainingBatches:
    """Return the batches that all models here are trained on."""
    return TrainingBatches(data, kerafer.model_spec("ean").preprocessing, BATCH, AUGMENTATION, SEED)


def with_kerafer(data: FaceDataset) -> tuple[dict[str, Any], Turn]:
    """Return a training as `kerafer.train` does it."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    model, batches, done = learner(), training_batches(data), 0

    def turn(steps: int) -> dict[str, float]:
        nonlocal done
        done += steps
        return timed_fit(model, batches.to_tf(done - steps, done), steps)

    return {}, turn


def with_keras(data: FaceDataset) -> tuple[dict[str, Any], Turn]:
    """Return a training as a user of Keras would write it: the standard layers, `tf.data`, `fit`."""
    import tensorflow as tf

    def prepare(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.image.random_flip_left_right(tf.image.random_crop(image, (44, 44, 1)))
        return tf.image.grayscale_to_rgb(tf.cast(image, tf.float32) / 255.0), label

    batches = (
        tf.data.Dataset.from_tensor_slices((data.images[..., None], data.labels))
        .shuffle(len(data))
        .repeat()
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(BATCH)
        .prefetch(tf.data.AUTOTUNE)
    )

    model = ean()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(), loss, metrics=["accuracy"])
    return {"jit_compile": model.jit_compile}, lambda steps: timed_fit(model, batches, steps)


WORKERS = {"kerafer": with_kerafer, "keras": with_keras}


def serve(name: str, data: FaceDataset) -> None:
    """Be one of the contenders: print facts, then train as many steps as each line says."""
    facts, turn = WORKERS[name](data)
    turn(WARM_UP)
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        print(json.dumps(turn(int(line))), flush=True)


class Contender:
    """A process that trains when it is told to: a number of steps goes in, a line of JSON comes out.

    Args:
        command: the process.

    Raises:
        RuntimeError: if it ends without an answer.
    """

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.facts = self._answer()

    def turn(self, steps: int) -> dict[str, float]:
        """Train, and return what was measured."""
        print(steps, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{' '.join(self.command[1:4])} ended without an answer; its own message stands above.")

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def torch_arrays(data: FaceDataset, path: Path) -> None:
    """Write what `torch_ean.py` needs: pictures, the weights that all start from, and a proof of the same network."""
    state, proof = torch_state(ean(), "state"), ean(padding="symmetric")  # PyTorch's padding
    # weights of a trained network: an untrained one gives logits near 0 for anything
    proof.set_weights(ean(weights="fer2013").get_weights())
    probe = data.inputs(kerafer.model_spec("ean").preprocessing, slice(16))
    logits = keras.ops.convert_to_numpy(proof(probe, training=False))
    arrays = {"images": data.images, "labels": data.labels, "probe": probe, "logits": logits}
    np.savez(path, **arrays, **state, **torch_state(proof, "proof"))


def torch_state(model: keras.Model, prefix: str) -> dict[str, np.ndarray]:
    """Return EAN's weights under PyTorch's names, each with `PREFIX/` before it."""
    names = torch_names() | {f"block{n}_eca_conv": f"f.{n + 2}.b.8.conv" for n in range(1, 7)}
    state = {}
    for layer in model.layers:
        values = layer.get_weights()
        if not values:
            continue
        name = f"{prefix}/{names[layer.name]}"
        if isinstance(layer, keras.layers.BatchNormalization):
            for part, value in zip(("weight", "bias", "running_mean", "running_var"), values, strict=True):
                state[f"{name}.{part}"] = value
        elif layer.name.endswith("eca_conv"):
            state[f"{name}.weight"] = values[0].reshape(1, 1, 3)  # (1, 3, 1, 1) -> (out, in, neighbours)
        else:  # (h, w, in, out) -> (out, in, h, w); depthwise (h, w, channels, 1) -> (channels, 1, h, w)
            axes = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (3, 2, 0, 1)
            state[f"{name}.weight"] = np.ascontiguousarray(values[0].transpose(axes))
    return state


def compare(source: str, data: FaceDataset, torch: str | None, rounds: int, steps: int) -> dict[str, Any]:
    """Let the contenders take turns, and return the rates of each.

    Args:
        source: the data, as `kerafer.load_data` takes it.
        data: its training split.
        torch: a Python interpreter that has torch, or None.
        rounds: how often each has its turn.
        steps: of a turn.

    Raises:
        RuntimeError: if PyTorch's network is not ours.
    """
    own = [sys.executable, str(Path(__file__).resolve()), "--data", source, "--worker"]
    with ExitStack() as stack:
        contenders = {name: stack.enter_context(closing(Contender([*own, name]))) for name in WORKERS}
        if torch is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            torch_arrays(data, folder / "arrays.npz")
            options = ["--arrays", str(folder / "arrays.npz"), "--threads", str(os.cpu_count())]
            started = stack.enter_context(closing(Contender([torch, str(HERE / "torch_ean.py"), *options])))
            check_same(started.facts)
            contenders["pytorch"] = started
        turns: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
        for number in range(rounds):
            order = list(contenders)[number % len(contenders) :] + list(contenders)[: number % len(contenders)]
            for name in order:
                turns[name].append(contenders[name].turn(steps))
                print(f"round {number + 1}, {name}: {turns[name][-1]['images_per_second']:.0f} images/s", flush=True)
    rates = {name: [turn["images_per_second"] for turn in of] for name, of in turns.items()}
    result: dict[str, Any] = {
        "cores": os.cpu_count(),
        "batch_size": BATCH,
        "augmentation": list(AUGMENTATION),
        "optimizer": f"SGD, rate {RECIPE.learning_rate}, momentum {RECIPE.momentum}",
        "rounds": rounds,
        "steps": steps,
    }
    for name, contender in contenders.items():
        result[name] = {
            "images_per_second": round(statistics.median(rates[name])),
            "lowest": round(min(rates[name])),
            "highest": round(max(rates[name])),
            "loss_in_last_round": round(turns[name][-1]["loss"], 3),
            **contender.facts,
        }
    for name in list(contenders)[1:]:
        shares = [ours / theirs for ours, theirs in zip(rates["kerafer"], rates[name], strict=True)]
        result[f"kerafer_to_{name}"] = round(statistics.median(shares), 2)
    if torch is None:
        result["pytorch"] = "not measured: no interpreter that has torch was named (--torch PYTHON)"
    return result


def check_same(facts: dict[str, Any]) -> None:
    """Refuse to compare with another network."""
    expected = kerafer.model_spec("ean").parameters
    if facts["parameters"] != expected or not facts["largest_difference_of_logits"] < TOLERANCE:
        raise RuntimeError(
            f"PyTorch's network must have {expected} parameters and the same logits to {TOLERANCE}. Received: "
            f"{facts['parameters']} parameters, difference {facts['largest_difference_of_logits']}"
        )


def batch_norms(data: FaceDataset, rounds: int, steps: int) -> dict[str, float]:
    """Return images a second of EAN's training with the standard and with the fused batch normalisation."""
    plain = ean()
    models = {"standard": plain, "fused": with_quick_layers(plain)}
    batches = training_batches(data)
    rates: dict[str, list[float]] = {label: [] for label in models}
    for model in models.values():
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False)
        timed_fit(model, batches.to_tf(0, WARM_UP), WARM_UP)
    for _ in range(rounds):
        for label, model in models.items():
            rates[label].append(timed_fit(model, batches.to_tf(0, steps), steps)["images_per_second"])
    return {label: statistics.median(values) for label, values in rates.items()}


def main() -> None:
    """Measure all of it, or be one of the contenders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has torch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    start = time.perf_counter()
    data = kerafer.load_data(arguments.data, "train")
    reading = time.perf_counter() - start
    if arguments.worker is not None:
        serve(arguments.worker, data)
        return
    medians = batch_norms(data, arguments.rounds, arguments.steps)
    keras.backend.clear_session()
    frameworks = compare(arguments.data, data, arguments.torch, arguments.rounds, arguments.steps)
    write_result(
        "throughput",
        {
            "data": data.name,
            "split": data.split,
            "seed": SEED,
            "csv_seconds": round(reading, 2),
            "csv_images_kept": len(data),
            "training_images_per_second": {k: round(v) for k, v in medians.items()},
            "fused_to_standard": round(medians["fused"] / medians["standard"], 2),
            "frameworks": frameworks,
        },
    )


if __name__ == "__main__":
    main()
