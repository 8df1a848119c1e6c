"""The README's table of the ladder, from results/verify.csv."""

from __future__ import annotations

from common import read_table, table

NOT_MEANT = "not meant for it"


def ladder() -> str:
    """Return how many files of each recipe each rung found right, and which it did not."""
    found = read_table("verify")
    models = list(dict.fromkeys(row["model"] for row in found))
    recipes = list(dict.fromkeys(row["recipe"] for row in found))
    rungs = list(dict.fromkeys(row["rung"] for row in found))
    trained = sorted({row["model"] for row in found if row["weights"] != "stand-in"})
    lines = []
    for rung in rungs:
        cells = []
        for recipe in recipes:
            tried = [r["status"] for r in found if (r["rung"], r["recipe"]) == (rung, recipe)]
            meant = [status for status in tried if status != NOT_MEANT]
            cells.append(f"{meant.count('ok')} of {len(meant)}" if meant else "-")
        lines.append([f"`{rung}`", *cells])
    told = [text for rung in rungs if (text := _exceptions([r for r in found if r["rung"] == rung]))]
    head = (
        f"Files that are right, of those meant for the runtime: {len(models)} models by {len(recipes)} recipes. "
        f"Shipped weights: {', '.join(f'`{name}`' for name in trained)}; the others have stand-in weights, which prove "
        "operators and numbers, not accuracy."
    )
    parts = (
        head,
        table(["rung", *recipes], lines),
        "\n".join(told),
        "Every figure: `results/verify.csv` (`make verify`).",
    )
    return "\n\n".join(parts)


def _exceptions(found: list[dict[str, str]]) -> str:
    """Return a line about the files that a rung did not find right, or nothing."""
    wrong: dict[str, dict[str, list[str]]] = {}
    for row in found:
        if row["status"] not in ("ok", NOT_MEANT):
            wrong.setdefault(row["status"], {}).setdefault(row["model"], []).append(row["recipe"])
    parts = []
    for status, by_model in wrong.items():
        # models with the same files are told together
        groups: dict[tuple[str, ...], list[str]] = {}
        for model, recipes in by_model.items():
            groups.setdefault(tuple(recipes), []).append(f"`{model}`")
        parts += [f"{status}: {', '.join(names)} ({', '.join(recipes)})" for recipes, names in groups.items()]
    return f"- `{found[0]['rung']}`: {'; '.join(parts)}." if parts else ""
