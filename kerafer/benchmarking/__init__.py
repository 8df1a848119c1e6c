"""How long exported files take: measured here, or on an Android phone with TensorFlow's own `benchmark_model`."""

from __future__ import annotations

from kerafer.benchmarking.android import Phone, Plan, benchmark_on_phone, read_log
from kerafer.benchmarking.desktop import benchmark_here
from kerafer.benchmarking.report import BenchmarkReport, Delegation, FileBenchmark

__all__ = [
    "BenchmarkReport",
    "Delegation",
    "FileBenchmark",
    "Phone",
    "Plan",
    "benchmark_here",
    "benchmark_on_phone",
    "read_log",
]
