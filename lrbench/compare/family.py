"""What a report's 5 % of false claims cover: its groups, and how often it was read while it grew.

A claim is *beats* or *equivalent*; `ALPHA` bounds the share of reports that hold any false one, at
any reading. Groups and their mean share it evenly. Where runs are read before all planned seeds are
there, each reading gets what Lan and DeMets' function spends by its share of the planned seeds, in
the manner of O'Brien and Fleming: little early, nearly everything at the end. A sweep that is read
once, when it is done, has all of it; reading it again as it is costs nothing.

What was read is remembered in `LOOKS` in the folder that was compared. Seeds that are added after
the planned ones were read find nothing left to spend: their report is exploratory.

Sources: O'Brien and Fleming 1979, Lan and DeMets 1983, Jennison and Turnbull 2000, chapters 7 and 9
(the level of each reading carried over from the normal test to Student's).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from lrbench.compare.groups import Group
from lrbench.compare.inference import ALPHA, ENOUGH, LEAST
from lrbench.compare.settings import Settings
from lrbench.files.atomic import atomic_write
from lrbench.files.reading import read_bytes

LOOKS = "looks.json"  # {"test_accuracy": {"early": [3], "planned": 20, "read": [8, 14]}}
EARLY = 0.2  # of the error rate, what each reading of fewer than `ENOUGH` seeds without a plan has
GRID = 401  # points of the integration over what earlier readings left open


@dataclass(frozen=True, kw_only=True)
class Family:
    """The error rate of one comparison.

    Attributes:
        alpha: of any false claim in it; 0: it is exploratory and claims nothing.
        covers: what it is shared with, in one sentence.
    """

    alpha: float = ALPHA
    covers: str = (
        "At most 5 % of such reports claim a difference, an equivalence or a largest loss that is "
        "not so."
    )


EXPLORATORY = Family(
    alpha=0.0,
    covers="Exploratory: outside of the report's 5 %, so nothing here is claimed for sure.",
)


def spent(share: float, alpha: float = ALPHA) -> float:
    """Of `alpha`, what may be spent by the time that `share` of the planned seeds are there."""
    if share >= 1:
        return alpha
    return float(4 * stats.norm.sf(stats.norm.isf(alpha / 4) / math.sqrt(share)))


def level(shares: Sequence[float], alpha: float = ALPHA) -> float:
    """The two-sided level of the last of several readings.

    Args:
        shares: of the planned seeds that were there at each reading, ascending, up to 1.
    """
    before, last = 0.0, 0.0  # spent, and the share, at the reading before
    at, mass = np.zeros(1), np.ones(1)  # partial sums that earlier readings left open, how likely
    found = alpha
    for share in shares:
        step, root = math.sqrt(share - last), math.sqrt(share)
        now, before, last = spent(share, alpha) - before, spent(share, alpha), share
        excess = partial(_outside, at=at / step, mass=mass, scale=root / step, now=now)
        bound = optimize.brentq(excess, 0.0, 38.0)
        found = float(2 * stats.norm.sf(bound))
        inside = np.linspace(-1, 1, GRID) * min(bound, 8.0) * root
        density = stats.norm.pdf((inside[:, None] - at) / step) / step @ mass
        at, mass = inside, density * (inside[1] - inside[0])
        mass[[0, -1]] /= 2
    return found


def _outside(
    bound: float, *, at: NDArray[np.float64], mass: NDArray[np.float64], scale: float, now: float
) -> float:
    """By how much crossing ± `bound` at this reading is likelier than `now`."""
    tails = special.ndtr(at - bound * scale) + special.ndtr(-at - bound * scale)
    return float(mass @ tails) - now


def reading(folder: Path, key: str, num: int, planned: int | None, alpha: float = ALPHA) -> Family:
    """The error rate of reading `num` seeds now, which is remembered in `folder`.

    Fewer than `LEAST` seeds claim nothing and cost nothing; fewer than `ENOUGH` without a plan are
    no plan for all that follows, but have `EARLY` each, which later readings lack. A memory that is
    missing or cannot be read or written counts as the first reading.

    Args:
        key: what is read: the metric, and the group where there are several.
        planned: how many seeds there will be; None: those that the first reading finds.

    Raises:
        ValueError: another number was planned at the first reading, or fewer than there are.
    """
    if num < LEAST:
        return Family(alpha=alpha)
    path = folder / LOOKS
    known, early, plan, read = _remembered(path, key)
    if not plan and planned is None and num < ENOUGH:
        early = sorted({*early, num})
        _remember(path, {**known, key: {"early": early}})
        return Family(
            alpha=EARLY * alpha,
            covers=f"{Family.covers} Fewer than {ENOUGH} seeds were read, and it was not planned "
            f"how many there will be: {100 * EARLY * alpha:.2g} % are this reading's.",
        )
    alpha *= 1 - EARLY * len(early)
    if not plan:
        plan = planned or num
        if plan < num:
            raise ValueError(f"planned_seeds={planned}: {num} are there already")
    if planned not in (None, plan):
        raise ValueError(
            f"planned_seeds={planned}: {plan} were planned when these runs were first compared "
            f"({path}), and a plan cannot follow the results; leave it out"
        )
    if num > plan:
        return Family(
            alpha=0.0,
            covers=f"Exploratory: the 5 % were spent when {plan} seeds were read, as planned then. "
            "Plan more beforehand (planned_seeds) or compare new seeds in a folder of their own.",
        )
    if num not in read:
        read = sorted([*read, num])
        own = {"early": early} if early else {}
        _remember(path, {**known, key: {**own, "planned": plan, "read": read}})
    shares = [n / plan for n in read if n <= num]
    if shares == [1.0] and not early:
        return Family(alpha=alpha)
    before = ", ".join(str(n) for n in [*early, *read] if n < num)
    after = f", after readings at {before}" if before else ""
    return Family(
        alpha=level(shares, alpha),
        covers=f"{Family.covers} This holds at any reading: {num} of {plan} planned seeds are "
        f"read{after}.",
    )


def family_of(group: Group, groups: Sequence[Group], settings: Settings, folder: Path) -> Family:
    """The error rate of one of a report's `groups`: they and all of them together share the 5 %.

    Args:
        folder: where it is remembered how many seeds were read.
    """
    held = [g for g in groups if len(g.strategies) > 1]
    alpha = ALPHA / (len(held) + 1) if len(held) > 1 else ALPHA
    seeds = [{m.run.seed for m in group.members if m.strategy == name}
             for name in group.strategies]  # fmt: skip
    num = max(map(len, seeds), default=0)
    key = " ".join(filter(None, (settings.metric or group.measures[0].name, group.label)))
    found = reading(folder, key, num, settings.planned_seeds, alpha)
    if len(held) > 1 and found.alpha > 0:
        shared = (
            f"{len(held)} groups and their mean share the 5 %: {100 * alpha:.2g} % each. "
            f"{found.covers}"
        )
        return replace(found, covers=shared)
    return found


def _remembered(path: Path, key: str) -> tuple[dict[str, object], list[int], int, list[int]]:
    """What `path` holds, and of `key`: early readings, the plan (0: none yet), later readings."""
    try:
        known = json.loads(read_bytes(path))
        known = known if isinstance(known, dict) else {}
        own = known.get(key, {})
        early, read = (sorted({int(n) for n in own.get(name, [])}) for name in ("early", "read"))
        return known, early, int(own.get("planned", 0)), read
    except (OSError, RecursionError):
        return {}, [], 0, []
    except (ValueError, TypeError, AttributeError):
        return _others(path), [], 0, []


def _remember(path: Path, content: dict[str, object]) -> None:
    """Write `content`; a folder that cannot be written is read all the same."""
    with suppress(OSError), atomic_write(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")


def _others(path: Path) -> dict[str, object]:
    """What `path` remembers of other keys; nothing where it cannot be read."""
    try:
        known = json.loads(read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
