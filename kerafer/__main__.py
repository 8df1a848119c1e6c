"""`python -m kerafer`: the same as the `kerafer` command."""

from kerafer.cli.main import run

run()
