"""Proof that exported files compute what the Keras model computes, and that the GPU runtime takes them."""

from __future__ import annotations

from kerafer.verification.checks import verify
from kerafer.verification.report import FileReport, VerifyReport

__all__ = ["FileReport", "VerifyReport", "verify"]
