"""A Keras model to `.tflite` files, by export recipes."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerafer.quantization.recipes import export_recipe
from kerafer.quantization.selective import to_static_int8, weights_to_int8
from kerafer.quantization.twin import to_twin

if TYPE_CHECKING:
    import keras

    from kerafer.quantization.fake_quant import FakeQuantModel


def convert(
    model: keras.Model, recipe: str, calibration: np.ndarray | None = None, keep_float: Sequence[str] = ()
) -> bytes:
    """Convert a functional Keras model to a `.tflite` file of batch size 1.

    The graph is static and clean: batch normalisation is folded into the convolutions, activations are fused, and no
    shape is computed at run time.

    Args:
        model: (batch, height, width, 3) in [0, 1] to (batch, classes).
        recipe: one of `kerafer.quantization.UNTRAINED_RECIPES`.
        calibration: (n, height, width, 3) float32 inputs, needed by `static_int8`.
        keep_float: regular expressions of layers that stay in float, for `weight_int8` and `static_int8`.

    Returns:
        The file's content.

    Raises:
        ValueError: if the recipe is unknown, needs calibration pictures and got none, or cannot keep layers in float.
        TypeError: if the model cannot be translated; see `kerafer.quantization.twin`.

    Example:
        >>> import kerafer
        >>> from kerafer.exporting import convert
        >>> convert(kerafer.build_model("ean"), "float16")[4:8]
        b'TFL3'
    """
    return Converter(model).convert(recipe, calibration, keep_float)


class Converter:
    """A functional Keras model on its way to several `.tflite` files: translated and traced once for all of them.

    Args:
        model: (batch, height, width, 3) in [0, 1] to (batch, classes).
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._graph: str | None = None
        self._float32: bytes | None = None

    def convert(self, recipe: str, calibration: np.ndarray | None = None, keep_float: Sequence[str] = ()) -> bytes:
        """Return the file by one recipe; as `kerafer.exporting.convert`."""
        settings = export_recipe(recipe)
        if settings.trained:
            raise ValueError(
                f"`recipe` {recipe!r} needs a fine-tuned model: use kerafer.quantize (`kerafer quantize`)."
            )
        if settings.calibrated:
            _check_calibration(self.model, calibration)
        if keep_float and recipe not in ("weight_int8", "static_int8"):
            raise ValueError(f"`keep_float` goes with weight_int8 and static_int8. Received: recipe={recipe!r}")
        if recipe == "weight_int8":
            return weights_to_int8(self.convert("float32"), keep_float)
        if keep_float:
            return to_static_int8(self.convert("float32"), calibration, keep_float, ends="uint8")
        if recipe != "float32":
            return _converted(self.graph, recipe, calibration)
        if self._float32 is None:
            self._float32 = _converted(self.graph, recipe)
        return self._float32

    @property
    def graph(self) -> str:
        """Folder of the traced graph, which goes with this object."""
        if self._graph is None:
            twin, folder = to_twin(self.model), tempfile.mkdtemp()
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            with quiet():
                _save_graph(twin, folder)
            self._graph = folder
        return self._graph


def convert_rounded(model: FakeQuantModel) -> bytes:
    """Convert a fine-tuned model of rounded weights and activations to an integer `.tflite` file.

    Args:
        model: of batch size 1, from `kerafer.quantization.fake_quant`.

    Returns:
        The file's content: uint8 in and out, every operator in integers.
    """
    from kerafer.quantization.rounding import constant_kernels

    with tempfile.TemporaryDirectory() as folder:
        with quiet(), constant_kernels():
            _save_graph(model.model, folder)
        return _converted(folder, "qat_int8")


def _converted(graph: str, recipe: str, calibration: np.ndarray | None = None) -> bytes:
    import tensorflow as tf

    with quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(graph)
        _prepare(converter, recipe, calibration)
        return converter.convert()


def _prepare(converter: Any, recipe: str, calibration: np.ndarray | None) -> None:
    import tensorflow as tf

    if recipe != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        # a scale for each row of a dense layer is an operator version that runtimes of 2023 refuse, for little gain
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if recipe == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if recipe == "static_int8":
        converter.representative_dataset = lambda: _one_by_one(calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if export_recipe(recipe).input_type == "uint8":
        converter.inference_input_type = converter.inference_output_type = tf.uint8


def _save_graph(twin: Any, folder: str) -> None:
    """Write one graph, the whole model, with the same names of input and output for every file.

    (`from_keras_model` traces every layer too, and takes thrice as long.)
    """
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(twin.input_shape, tf.float32, name="image")])
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"predictions": twin(image, training=False)}

    module = tf.Module()
    module.variables_of_the_model = list(twin.variables)
    module.serve = serve
    tf.saved_model.save(module, folder, signatures=serve)


def _check_calibration(model: keras.Model, calibration: np.ndarray | None) -> None:
    shape = tuple(model.input_shape[1:])
    if calibration is None or np.ndim(calibration) != 4 or calibration.shape[1:] != shape or not len(calibration):
        received = "None" if calibration is None else f"shape {np.shape(calibration)}"
        raise ValueError(f"`calibration` must be one or more pictures (n, {shape}). Received: {received}")


def _one_by_one(pictures: np.ndarray) -> Iterator[list[np.ndarray]]:
    # The whole range of camera bytes comes first, so that the input's scale is exactly 1/255.
    yield [np.linspace(0, 1, pictures[0].size, dtype=np.float32).reshape(1, *pictures[0].shape)]
    for picture in pictures:
        yield [np.ascontiguousarray(picture[None], np.float32)]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the notes of TensorFlow and its converter about themselves from the user's screen.

    The converter writes past Python, to the process's own standard error; what it wrote there is added to an error.
    """
    loggers = [logging.getLogger(name) for name in ("tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    screen = os.dup(2)
    with warnings.catch_warnings(), tempfile.TemporaryFile() as notes:
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        sys.stderr.flush()
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except Exception as error:
            notes.seek(0)
            error.add_note(notes.read().decode(errors="replace")[-4000:])
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
