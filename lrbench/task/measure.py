"""What is measured of a model: its name, which way is better, its unit, what guessing scores.

The one home of every rule that depends on the kind of number: how values and differences are
written, which of two is better, and what a run that diverged counts as.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

POINTS = "points"  # the unit of shares such as accuracies, whose differences are percentage points
COUNT_DIGITS = 6  # decimals to which a share is exact: it is a count, rounded to float32


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One kind of number that tells how good a model is.

    Attributes:
        name: as in ``val/<name>`` and ``test_<name>``: ``accuracy``, ``loss``, ``rmse``.
        higher_is_better: whether the larger of two values is the better one.
        guess: the value of guessing, which a diverged run scores; None where there is no such
            number: a diverged run then ranks last, without a value.
        unit: of differences: ``points``, ``nats``, ``bits``; empty where it has none.
        scale: what a value is multiplied by to be said in its unit: 100 for points.
    """

    name: str
    higher_is_better: bool
    guess: float | None = None
    unit: str = ""
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"name={self.name!r} of a measure must be letters, digits and _")
        if self.guess is not None and not math.isfinite(self.guess):
            raise ValueError(f"guess={self.guess} of {self.name} must be finite, or None")
        if not self.unit.isprintable():
            raise ValueError(f"unit={self.unit!r} of {self.name} must be printable")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale={self.scale} of {self.name} must be above 0 and finite")

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1: times it, larger is always better."""
        return 1 if self.higher_is_better else -1

    @property
    def worst(self) -> float:
        """The value that no other is worse than: minus or plus infinity."""
        return -self.sign * math.inf

    @property
    def label(self) -> str:
        """The name as it stands in a sentence: ``bits per byte``."""
        return self.name.replace("_", " ")

    @property
    def improves(self) -> str:
        """What the value does as the model gets better: it ``rises`` or ``falls``."""
        return "rises" if self.higher_is_better else "falls"

    @property
    def in_unit(self) -> str:
        """The unit as it follows a column's name: ``, in points``; empty where there is none."""
        return f", in {self.unit}" if self.unit else ""

    @property
    def divergence(self) -> str:
        """How a diverged run counts, as it is told: ``a diverged run as guessing (10.00 %)``."""
        if self.guess is None:
            return "a diverged run has no value and ranks last"
        return f"a diverged run as guessing ({self.value(self.guess)})"

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is better than `b`; not where either is NaN."""
        return self.sign * a > self.sign * b

    def score(self, value: float | None, *, completed: bool) -> float:
        """What a run counts as in ranks, medians and wins.

        A completed run counts as its own value, NaN where that is missing. A diverged one counts as
        guessing, or as `worst` where guessing has no number.
        """
        if completed:
            return math.nan if value is None else value
        return self.worst if self.guess is None else self.guess

    def exact(self, value: float) -> float:
        """`value` without the noise of float32 where it is a share of a count, so that ties tie."""
        return round(value, COUNT_DIGITS) if self.unit == POINTS else value

    def number(self, value: float) -> str:
        """A value or a difference in its unit, without its name: ``98.41``, ``1.8353``, ``−0.42``.

        A dash stands for NaN, and ``none`` for the infinity of a run that has no value.
        """
        if math.isnan(value):
            return "–"
        if math.isinf(value):
            return "none"
        scaled = self.scale * value
        digits = 2 if self.unit == POINTS else max(0, 5 - len(str(int(abs(scaled)))))
        tiny = self.unit != POINTS and 0 < abs(scaled) < 0.001
        text = f"{scaled:.2g}" if tiny else f"{scaled:.{digits}f}"
        text = text.removeprefix("-") if not float(text) else text
        return text.replace("-", "−")

    def value(self, value: float) -> str:
        """A value as it stands in a sentence: ``98.41 %``, ``1.8353 nats``, ``54.29``."""
        unit = "%" if self.unit == POINTS else self.unit
        text = self.number(value)
        return f"{text} {unit}" if unit and math.isfinite(value) else text

    def difference(self, difference: float) -> str:
        """A difference as it stands in a sentence: ``0.42 points``, ``0.0123 nats``."""
        text = self.number(difference)
        return f"{text} {self.unit}" if self.unit and math.isfinite(difference) else text

    def as_json(self) -> dict[str, Any]:
        """What result.json says of the measure, under its name."""
        return {key: value for key, value in asdict(self).items() if key != "name"}

    @classmethod
    def from_json(cls, name: str, content: object) -> Measure:
        """The measure `name` that result.json describes as `content`.

        Raises:
            ValueError: a key is missing, unknown or of another type.
        """
        if not isinstance(content, Mapping):
            raise ValueError(f"measures.{name}={content} must be an object")
        kinds: dict[str, tuple[type, ...]] = {
            "higher_is_better": (bool,),
            "guess": (int, float, type(None)),
            "unit": (str,),
            "scale": (int, float),
        }
        known = {field.name for field in fields(cls)}
        for key, value in content.items():
            if key not in known - {"name"}:
                raise ValueError(f"measures.{name}.{key} is not a key of a measure")
            if type(value) not in kinds[key]:
                raise ValueError(f"measures.{name}.{key}={value} has the wrong type")
        if "higher_is_better" not in content:
            raise ValueError(f"measures.{name} does not say whether higher_is_better")
        return cls(name=name, **content)


# What these names mean wherever a run does not say it. Guessing is the task's to know.
_LOWER = {"loss": "", "nll": "nats", "bits_per_byte": "bits", "perplexity": ""}
_LOWER |= dict.fromkeys(("rmse", "mse", "mae"), "")
_LOWER_SHARES = ("error", "error_rate", "wer", "cer")
_HIGHER_SHARES = (
    "accuracy", "acc", "top1", "top5", "f1", "auc", "auroc", "precision", "recall",
    "mean_average_precision", "map", "iou", "mean_iou", "miou",
)  # fmt: skip
WELL_KNOWN = {
    **{name: Measure(name=name, higher_is_better=False, unit=u) for name, u in _LOWER.items()},
    **{
        name: Measure(name=name, higher_is_better=higher, unit=POINTS, scale=100.0)
        for names, higher in ((_LOWER_SHARES, False), (_HIGHER_SHARES, True))
        for name in names
    },
    "r2": Measure(name="r2", higher_is_better=True),
}
