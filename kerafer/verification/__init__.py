"""Proof that exported files compute what the Keras model computes, on every runtime that can be had here."""

from __future__ import annotations

from kerafer.verification.checks import verify
from kerafer.verification.report import FileReport, RungRun, VerifyReport
from kerafer.verification.rungs import DEFAULT_RUNGS, RUNGS

__all__ = ["DEFAULT_RUNGS", "RUNGS", "FileReport", "RungRun", "VerifyReport", "verify"]
