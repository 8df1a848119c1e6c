"""`kerafer completion`: a shell's script that completes verbs, options, models and files at the tab key."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from kerafer.cli.common import add_verb, print_json

SHELLS = ("bash", "zsh", "fish", "tcsh")
PATHS = frozenset(
    [
        "a",
        "android",
        "b",
        "bundle",
        "cache",
        "checkpoint",
        "csv",
        "data",
        "files",
        "folder",
        "images",
        "log",
        "out",
        "pairs",
        "picture",
        "plot",
        "predictions",
        "source",
        "teacher",
        "tool",
    ]
)


def add(verbs: Any) -> None:
    """Add the verb."""
    verb = add_verb(
        verbs,
        "completion",
        "print a script that completes verbs, options and models in a shell",
        'eval "$(kerafer completion bash)"    # in ~/.bashrc; zsh: in ~/.zshrc',
        _completion,
    )
    verb.add_argument("shell", choices=SHELLS)


def _completion(arguments: argparse.Namespace) -> int:
    import shtab

    from kerafer.cli.main import parser

    top, names = parser(), _names()
    for action in _arguments(top):
        if action.choices is None and action.dest in names:
            action.choices = names[action.dest]  # a model may also be a file, but names are what nobody remembers
        elif action.choices is None and action.dest in PATHS:
            action.complete = shtab.FILE
    script = shtab.complete(top, shell=arguments.shell)
    if arguments.json:
        print_json({"shell": arguments.shell, "script": script})
    else:
        print(script)
    return 0


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Any]:
    """Yield every argument of a parser and of its verbs."""
    for action in parser._actions:  # argparse has no public way to list them
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _arguments(verb)
        else:
            yield action


def _names() -> dict[str, list[str]]:
    """Return what arguments may be called, as far as it is known without loading a framework."""
    from kerafer.zoo import list_models, model_spec

    models = list_models()
    return {
        "model": models,
        "models": models,
        "weights": sorted({name for model in models for name in model_spec(model).weights}),
    }
