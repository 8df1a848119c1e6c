"""Package metadata; `pyproject.toml` holds the build system and the tools' settings."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "kerafer/__init__.py").read_text(), re.MULTILINE).group(1)

NOTEBOOKS = ["nbclient>=0.10", "ipykernel>=6"]

setup(
    name="kerafer",
    version=VERSION,
    description="Facial-expression models for Android: from a data set to a verified .tflite",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE", "LICENSES/*"],
    python_requires=">=3.11",
    packages=find_packages(include=["kerafer", "kerafer.*"]),
    package_data={
        "kerafer": [
            "pretrained/*.npz",
            "pretrained/*.json",
            "pretrained/*.tflite",
            "vision/blazeface_models/*",
            "verification/guests/*.html",
            "verification/guests/*.mjs",
            "py.typed",
        ]
    },
    install_requires=[
        "tensorflow>=2.21",  # trains, and converts to .tflite
        "keras>=3.15",
        "tf-keras>=2.21",  # the twin that converts cleanly, and that quantization-aware training takes
        "tensorflow-model-optimization>=0.8.1",  # quantization-aware training
        "ai-edge-litert>=2.3",  # runs .tflite on the CPU and the GPU accelerator
        "ai-edge-quantizer>=0.10",  # rounds weights after conversion, layer by layer
        "flatbuffers>=24",  # writes .tflite files in fewer bytes, and their metadata
        "mtcnn>=1.0.0",  # finds faces; its weights are inside the wheel
        # headless: the other wheel wants libGL and X libraries that servers and containers lack, for windows that
        # kerafer never opens
        "opencv-python-headless>=4.10",
        "pillow>=10.1",  # reads pictures upright, draws on them
        "matplotlib>=3.8",  # plots, fonts, and the sample portrait
        "scikit-learn>=1.5",  # standard measures
        "scipy>=1.13",  # exact tests
        "h5py>=3.10",  # reads Keras 2 weights
        "numpy>=1.26",
        "tqdm>=4.66",
        "shtab>=1.9",  # `kerafer completion`
    ],
    extras_require={
        "test": ["pytest>=8", "ruff==0.17.*", "pytest-xdist>=3.6", "jax>=0.7", "hypothesis>=6.100", *NOTEBOOKS],
        "notebooks": NOTEBOOKS,
        "fuzz": ["atheris>=3"],
    },
    entry_points={"console_scripts": ["kerafer = kerafer.cli.main:run"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
