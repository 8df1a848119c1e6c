"""A network that trains in a second, for tests of what surrounds a network; `python -m small VERB ...` has it too."""

import dataclasses
import sys
from contextlib import contextmanager

import keras

import kerafer
from kerafer import layers
from kerafer.specs import REGISTRY

NAME = "small"
GRAY = "small_gray"


def build(input_shape, classes, classifier_activation, *, filters=(8, 16)):
    inputs = keras.Input(input_shape, name="image")
    x = layers.conv_bn(inputs, filters[0], 3, strides=2, name="stem")
    x = layers.conv_bn(x, filters[1], 3, strides=2, name="second")
    outputs = layers.conv_gap_head(x, classes, classifier_activation=classifier_activation)
    return keras.Model(inputs, outputs, name=NAME)


@contextmanager
def registered():
    """The two networks are in the zoo for the block's length."""
    spec = dataclasses.replace(kerafer.model_spec("ean"), builder=build, options={}, unseen={}, torch_names=None)
    for name, channels in ((NAME, 3), (GRAY, 1)):
        kerafer.register_model(dataclasses.replace(spec, name=name, title=name, input_shape=(44, 44, channels)))
    try:
        yield
    finally:
        del REGISTRY[NAME], REGISTRY[GRAY]


if __name__ == "__main__":
    from kerafer.cli.main import main

    with registered():
        sys.exit(main(sys.argv[1:]))
