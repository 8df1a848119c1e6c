"""One call for every way a model runs here: a Keras model, or a `.tflite` file on LiteRT's CPU kernels.

It imports nothing of ours, so that anything may use it. (`quantization.inner` looks inside files with an interpreter of
its own.)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import keras


FEW = 16


class Runner(Protocol):
    """Something that turns a batch of inputs into class probabilities."""

    input_size: tuple[int, int]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, height, width, 3) float32."""


class KerasRunner:
    """A Keras model behind `Runner`.

    Args:
        model: (batch, height, width, 3) to (batch, classes).
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.input_size = tuple(model.input_shape[1:3])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the model's outputs, (n, classes) float32."""
        if 0 < len(x) <= FEW:  # `predict` sets up a data pipeline, which takes longer than a few pictures
            return np.asarray(self.model.predict_on_batch(x), np.float32)
        return np.asarray(self.model.predict(x, batch_size=256, verbose=0), np.float32)


class LiteRTRunner:
    """A `.tflite` file on LiteRT's CPU kernels, behind `Runner`.

    Quantized inputs and outputs are converted by the scale and zero point that the file carries, so callers always
    speak float32.

    Args:
        path: the file.
        threads: CPU threads.
        xnnpack: whether XNNPACK's kernels are used; without them LiteRT's built-in ones, as in older runtimes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if LiteRT cannot read it, or it does not take one picture and give one vector.
    """

    def __init__(self, path: str | Path, threads: int = 1, *, xnnpack: bool = True) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        try:
            resolver = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            self.interpreter = Interpreter(
                model_path=str(path), num_threads=threads, experimental_op_resolver_type=resolver
            )
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is not a .tflite file that LiteRT can run: {error}") from error
        inputs, outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        fits = len(inputs) == len(outputs) == 1 and len(inputs[0]["shape"]) == 4 and len(outputs[0]["shape"]) == 2
        if not fits or inputs[0]["shape"][0] != 1:
            raise ValueError(
                f"{path} must take one picture (1, height, width, channels) and give (1, classes). Received: inputs "
                f"{[i['shape'].tolist() for i in inputs]}, outputs {[o['shape'].tolist() for o in outputs]}"
            )
        self.input, self.output = inputs[0], outputs[0]
        self.input_size = tuple(int(v) for v in self.input["shape"][1:3])

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32, one picture after the other."""
        x = to_tensor(x, self.input)
        rows = np.empty((len(x), self.output["shape"][1]), self.output["dtype"])
        for i in range(len(x)):
            self.interpreter.set_tensor(self.input["index"], x[i : i + 1])
            self.interpreter.invoke()
            rows[i] = self.interpreter.get_tensor(self.output["index"])[0]
        return from_tensor(rows, self.output)


class LiteRTGraph:
    """A `.tflite` file with one input and any outputs, float32, prepared for inputs of one shape.

    Args:
        path: the file.
        threads: CPU threads.
        shape: of the input, for a file that takes several; the file's own by default.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if LiteRT cannot read it or run it at this shape.
    """

    def __init__(self, path: str | Path, threads: int = 1, shape: tuple[int, ...] | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        try:
            self.interpreter = Interpreter(model_path=str(path), num_threads=threads)
            [self.input] = self.interpreter.get_input_details()
            if shape is not None and tuple(self.input["shape"]) != shape:
                self.interpreter.resize_tensor_input(self.input["index"], shape)
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is not a .tflite file that LiteRT can run here: {error}") from error
        self.shape = shape or tuple(int(v) for v in self.input["shape"])
        self.outputs = self.interpreter.get_output_details()

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the outputs in the file's order."""
        self.interpreter.set_tensor(self.input["index"], x)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(output["index"]) for output in self.outputs]


def to_tensor(x: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Return float values in a tensor's own type: quantized by its scale and zero point where it has them."""
    scale, zero = detail["quantization"]
    if detail["dtype"] == np.float32 or scale == 0:
        return np.ascontiguousarray(x, detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.rint(x / scale) + zero, limits.min, limits.max).astype(detail["dtype"])


def from_tensor(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Return a tensor's values as float32, through its scale and zero point where it has them."""
    scale, zero = detail["quantization"]
    if detail["dtype"] == np.float32 or scale == 0:
        return values.astype(np.float32)
    return (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)
