"""Whether one model is better than another on the same images, or only luckier."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kerafer.evaluation.measures import LEVEL, RESAMPLES, check_bootstrap, interval
from kerafer.evaluation.predictions import Predictions

SIGNIFICANT = 0.05
"""McNemar's p below which a difference is called more than noise."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images; differences are B minus A.

    Args:
        a: the first model.
        b: the second model.
        data: kind of data.
        split: which split.
        images: how many images.
        accuracy_a: accuracy of A.
        accuracy_b: accuracy of B.
        difference: `accuracy_b - accuracy_a`.
        interval: (low, high) of the difference: percentile bootstrap over images, both models on the same ones.
        both_right: images that both get right.
        only_a_right: images that only A gets right.
        only_b_right: images that only B gets right.
        both_wrong: images that both get wrong.
        p_value: of McNemar's exact test, two-sided: the probability that chance alone would split the images on which
            the two differ as unevenly, or more.
        recall: for each class with images: `images`, the shares `a` and `b` that are found, their `difference`.
        data_sha256: checksum of images and labels.
        views_a: what A saw of each image.
        views_b: what B saw of each image.
        subset: name of the list of images, or empty for the whole split.
        settings: `resamples`, `level` and `seed` of the bootstrap.
    """

    a: str
    b: str
    data: str
    split: str
    images: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    interval: tuple[float, float]
    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong: int
    p_value: float
    recall: dict[str, dict[str, float]]
    data_sha256: str
    views_a: str
    views_b: str
    subset: str
    settings: dict[str, float | int]

    @property
    def more_than_noise(self) -> bool:
        """Whether `p_value` is below 0.05."""
        return self.p_value < SIGNIFICANT

    @property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        if not self.only_a_right + self.only_b_right:
            return f"{self.a} and {self.b} are right on exactly the same images."
        better, worse, points = self.b, self.a, 100 * self.difference
        won, lost = self.only_b_right, self.only_a_right
        if points < 0:
            better, worse, points, won, lost = self.a, self.b, -points, lost, won
        sides = f"alone right on {won:,} images and alone wrong on {lost:,} (McNemar's exact p = {self.p_value:.2g})"
        if self.more_than_noise:
            return f"{better} is better than {worse} by {points:.2f} points, which is more than noise: it is {sides}."
        if won == lost:
            return f"{self.a} and {self.b} are equally accurate: each is {sides}."
        return f"{better} is ahead of {worse} by {points:.2f} points, which may be noise: it is {sides}."

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, with `more_than_noise` and `sentence`."""
        own = {"interval": list(self.interval), "more_than_noise": self.more_than_noise, "sentence": self.sentence}
        return {**asdict(self), **own}


def compare(
    a: Predictions, b: Predictions, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Comparison:
    """Compare two models on the same images.

    McNemar's test (Psychometrika 12, 1947) looks at the images that only one of the two gets right: if neither is
    better, each falls to A or B like a fair coin. The exact form takes the binomial distribution, so it holds for few
    images too. It says nothing about another training run of the same model, whose weights would differ.

    Args:
        a: predictions of the first model, from `kerafer.evaluation.predict` or `Predictions.load`.
        b: those of the second, on the same images.
        resamples: of the bootstrap.
        level: probability that the interval is to cover.
        seed: decides the resamples.

    Returns:
        Accuracies, their difference with its interval and p-value, and the difference of each class.

    Raises:
        ValueError: if the two are of different data, or the bootstrap's settings give no interval.

    Example:
        >>> import kerafer
        >>> from kerafer.data.samples import synthetic
        >>> from kerafer.evaluation import predict
        >>> ean, data = kerafer.load_model("ean", weights="fer2013"), synthetic(14)
        >>> compare(predict(ean, data), predict(ean, data, views="flip")).images
        14
    """
    from scipy.stats import binomtest

    check_bootstrap(resamples, level)
    same = a.class_names == b.class_names and np.array_equal(a.labels, b.labels)
    if a.data_sha256 != b.data_sha256 or not same:
        raise ValueError(
            "Two models must be compared on the same images, labels and classes. Received: "
            f"{_described(a)} and {_described(b)}. Evaluate both on the same split."
        )
    # (2, 2): A wrong or right, B wrong or right
    table = np.bincount(2 * a.right + b.right, minlength=4)
    both_wrong, only_b, only_a, both_right = table.tolist()
    n = len(a)
    drawn = np.random.default_rng(seed).multinomial(
        n, table / n, size=resamples
    )  # as resampling images, see `bootstrap`
    differing = only_a + only_b
    recall = {}
    for number, name in enumerate(a.class_names):
        members = a.labels == number
        if members.any():
            shares = float(a.right[members].mean()), float(b.right[members].mean())
            recall[name] = {
                "images": int(members.sum()),
                "a": shares[0],
                "b": shares[1],
                "difference": shares[1] - shares[0],
            }
    names = (a.model, b.model) if a.model != b.model else (f"A ({a.model})", f"B ({b.model})")
    return Comparison(
        a=names[0],
        b=names[1],
        data=a.data,
        split=a.split,
        images=n,
        accuracy_a=(only_a + both_right) / n,
        accuracy_b=(only_b + both_right) / n,
        difference=(only_b - only_a) / n,
        interval=interval((drawn[:, 1] - drawn[:, 2]) / n, level),
        both_right=both_right,
        only_a_right=only_a,
        only_b_right=only_b,
        both_wrong=both_wrong,
        p_value=float(binomtest(only_b, differing, 0.5).pvalue) if differing else 1.0,
        recall=recall,
        data_sha256=a.data_sha256,
        views_a=a.views,
        views_b=b.views,
        subset=a.subset,
        settings={"resamples": resamples, "level": level, "seed": seed},
    )


def _described(predictions: Predictions) -> str:
    part = f" ({predictions.subset})" if predictions.subset else ""
    return (
        f"{predictions.model} on {len(predictions):,} images of {predictions.data} {predictions.split}{part}, SHA-256 "
        f"{predictions.data_sha256[:12]}"
    )
