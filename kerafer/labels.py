"""Class names and their order: the only file that holds one.

Every data set numbers its classes in its own way. Our weights, cards, exports and the Android code all use
`CANONICAL`, and a reader maps its data set's numbers with `to_canonical`.
"""

from __future__ import annotations

from collections.abc import Sequence

CANONICAL: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
"""FER2013's order, with contempt as the eighth class of the data sets that have it."""

LABELS_7: tuple[str, ...] = CANONICAL[:7]
"""The seven classes that most weights are trained on."""

# What other data sets and papers call the same classes.
_SYNONYMS = {
    "anger": "angry",
    "disgusted": "disgust",
    "afraid": "fear",
    "fearful": "fear",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}

ORDERS: dict[str, tuple[str, ...]] = {
    "fer2013": LABELS_7,
    # Columns of fer2013new.csv; "unknown" and "not a face" carry no expression.
    "ferplus": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "NF"),
    # as the official EfficientFace code numbers RAF-DB, AffectNet and CAER-S; RAF-DB's own order is another one
    "efficientface": ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry"),
    "rafdb": ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"),  # its labels are 1 to 7
    "affectnet": (
        *("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"),
        *("none", "uncertain", "non-face"),  # carry no expression
    ),
    "caers": ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),  # folders, by alphabet
    "kdef": ("fear", "angry", "disgust", "happy", "neutral", "sad", "surprise"),  # codes in names, by alphabet
}
"""Each data set's own class order, in canonical names."""


def canonical_name(name: str) -> str:
    """Return the canonical name of a class, whatever a data set calls it.

    Args:
        name: a class name such as `"Happiness"`, in any case.

    Returns:
        One of `CANONICAL`.

    Raises:
        ValueError: if the name is not a known expression.

    Example:
        >>> canonical_name("Happiness")
        'happy'
    """
    plain = name.strip().lower()
    plain = _SYNONYMS.get(plain, plain)
    if plain not in CANONICAL:
        raise ValueError(f"`name` must be an expression, one of {', '.join(CANONICAL)}. Received: name={name!r}")
    return plain


def to_canonical(dataset: str) -> tuple[int | None, ...]:
    """Return, for each class number of a data set, its canonical number (None where it is no expression).

    Args:
        dataset: a key of `ORDERS`.

    Returns:
        One entry per class of the data set, in the data set's order.

    Raises:
        ValueError: if the data set's order is not known.

    Example:
        >>> to_canonical("ferplus")
        (6, 3, 5, 4, 0, 1, 2, 7, None, None)
    """
    if dataset not in ORDERS:
        raise ValueError(f"`dataset` must be one of {', '.join(ORDERS)}. Received: dataset={dataset!r}")
    return tuple(CANONICAL.index(name) if name in CANONICAL else None for name in ORDERS[dataset])


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return `labels` as a tuple after refusing empty or repeated names."""
    names = tuple(labels)
    if len(names) < 2 or len(set(names)) != len(names) or not all(isinstance(n, str) and n.strip() for n in names):
        raise ValueError(f"`labels` must be two or more different, non-empty names. Received: labels={names!r}")
    return names
