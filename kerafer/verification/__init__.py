"""Proof that exported files compute what the Keras model computes, and that the GPU runtime takes them."""

from __future__ import annotations

from kerafer.verification.report import FileReport, VerifyReport
from kerafer.verification.verify import verify

__all__ = ["FileReport", "VerifyReport", "verify"]
