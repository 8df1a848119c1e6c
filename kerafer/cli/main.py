"""Entry point of the `kerafer` command.

The verbs' modules import nothing heavy at their top, so that `kerafer --help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence

from kerafer import __version__
from kerafer.cli import (
    benchmark,
    completion,
    data,
    demo,
    evaluate,
    export,
    info,
    methods,
    models,
    plot,
    predict,
    quantize,
    train,
    verify,
    video,
)
from kerafer.cli.screen import tell_error, warnings_in_one_line

VERBS = (
    models,
    info,
    data,
    train,
    methods,
    evaluate,
    plot,
    predict,
    video,
    quantize,
    export,
    verify,
    benchmark,
    demo,
    completion,
)
DESCRIPTION = """Facial-expression models for Android: from a data set to a verified .tflite.

  kerafer list                                        the models and their shipped weights
  kerafer predict photo.jpg                           the expressions in a photograph
  kerafer video talk.mp4 --csv talk.csv               each face's expressions over time
  kerafer export ean --weights fer2013 --out ean      .tflite files for an app
  kerafer verify ean                                  proof that they compute what Keras computes
  kerafer quantize ean --data fer2013:fer2013.csv     an integer file, trained to be one
  kerafer train ean --data fer2013:fer2013.csv        a model of your own
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    top = argparse.ArgumentParser(
        prog="kerafer", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"kerafer {__version__}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for module in VERBS:
        module.add(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 fine, 1 a check failed, 2 wrong use or bad input."""
    arguments = parser().parse_args(argv)
    try:
        with contextlib.ExitStack() as stack:
            if arguments.quiet and not arguments.json:
                stack.enter_context(_silence())
            if not arguments.debug:
                stack.enter_context(warnings_in_one_line(quiet=arguments.quiet))
            code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, TypeError, ImportError) as error:
        if arguments.debug:
            traceback.print_exc()
        else:
            tell_error(f"{type(error).__name__}: {error}")
        return 2
    except KeyboardInterrupt:
        goes_on = f"; run the same command again, and it goes on {arguments.goes_on}" if arguments.goes_on else ""
        tell_error(f"stopped{goes_on}")
        return 130


def run() -> None:
    """Run as a command: native libraries' chatter is kept off the screen (`--debug` shows it)."""
    if "--debug" not in sys.argv[1:]:
        _hush()
    sys.exit(main())


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Send what is printed nowhere; errors go to standard error as always."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _hush() -> None:
    """Send what native libraries write to descriptor 2 nowhere, and keep Python's own standard error."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


if __name__ == "__main__":
    run()
