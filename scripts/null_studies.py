"""How often claims are false: python scripts/null_studies.py {methods,looks,draws,reports}

Studies whose truth is known, and what is claimed of them. `methods` holds ways to make simultaneous
intervals against each other, `looks` reads growing data again and again, `draws` tunes equal
schedules on noisy seeds; these three are arrays of numbers. `reports` makes whole studies (tuned
and untuned runs at two budgets, the guide) and counts what their reports claim. The unit is the
standard deviation of a difference between two schedules on one seed. The tables in
lrbench/compare/README.md are made by this script; each line says its number of studies.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path.append(str(Path(__file__).parents[1] / "tests" / "study"))
from study_runs import Truth, imagine, runs_of, study

from lrbench.compare import inference
from lrbench.compare.family import level
from lrbench.compare.settings import Margin
from lrbench.compare.verdict import losses
from lrbench.study import guide
from lrbench.study.records import Point
from lrbench.study.report import tracks
from lrbench.study.report.recommendation import recommend

Array = NDArray[np.float64]
STRATEGIES = 4
COLLAPSE = 8.0  # how much a run loses that collapses, in standard deviations of a run
WORLDS = ("normal", "unequal", "skewed", "heavy skew", "collapses", "counts")
METHODS = ("simultaneous (used)", "Tukey, one variance", "own variances", "sign flips, Holm")


def noise(generator: np.random.Generator, world: str, *shape: int) -> Array:
    """Scores of studies without any difference, (studies, seeds, strategies)."""
    x = generator.normal(size=shape) / math.sqrt(2)
    one = shape[:-1]
    if world == "unequal":  # one schedule varies three times as much
        x[..., 0] *= 3
    elif world in ("skewed", "heavy skew"):  # exponential; heavy: of twice the deviation
        x[..., 0] = (1 - generator.exponential(size=one)) / math.sqrt(2)
        x[..., 0] *= 2 if world == "heavy skew" else 1
    elif world == "collapses":  # 5 % of its runs, at equal mean
        lost = generator.random(one) < 0.05
        x[..., 0] += (0.05 - lost) * COLLAPSE / math.sqrt(2)
    elif world == "counts":
        x = np.round(x)
    return x


def by_method(x: Array) -> dict[str, NDArray[np.bool_]]:
    """Which pairs' intervals leave out 0 in each study, (studies, pairs), by each method.

    Args:
        x: scores, (studies, seeds, strategies).
    """
    n, k = x.shape[1:]
    mean, own = _pairs(x)
    pooled = own.mean(axis=1, keepdims=True)
    size = np.abs(mean)
    found = {
        METHODS[0]: used(x),
        METHODS[1]: size > inference.critical(k, (n - 1) * (k - 1), 0.05) * np.sqrt(pooled / n),
        METHODS[2]: size > inference.critical(k, n - 1, 0.05) * np.sqrt(own / n),
    }
    if n <= 8:
        i, j = np.triu_indices(k, 1)
        found[METHODS[3]] = _holm(_sign_flips(x[..., i] - x[..., j])) < 0.05
    return found


def _pairs(x: Array) -> tuple[Array, Array]:
    """Means and variances of the pairs' differences, (studies, pairs)."""
    i, j = np.triu_indices(x.shape[2], 1)
    d = x[..., i] - x[..., j]
    return d.mean(axis=1), d.var(axis=1, ddof=1)


def used(x: Array, alpha: float = 0.05) -> NDArray[np.bool_]:
    """Which intervals of `inference.paired` leave out 0, for many studies at once."""
    n, k = x.shape[1:]
    mean, own = _pairs(x)
    pooled = own.mean(axis=1, keepdims=True)
    weight = np.zeros((len(x), 1))
    if k > 2:
        spread = ((own / pooled - 1) ** 2).sum(axis=1, keepdims=True) / (own.shape[1] - 1)
        weight = np.minimum(1, inference._spread_by_chance(k) / (n - 1) / spread)
    variance = np.maximum(weight * pooled + (1 - weight) * own, inference.OWN_SHARE * own)
    shared = weight**2 + 2 * weight * (1 - weight)
    freedom = 1 / (shared / ((n - 1) * (k - 1)) + (1 - weight) ** 2 / (n - 1))
    own_level = inference.level(n, alpha)
    limits = np.array([inference._critical(k, float(df), own_level) for df in freedom[:, 0]])
    found = np.abs(mean) > limits[:, None] * np.sqrt(variance / n)
    i, j = np.triu_indices(k, 1)
    for number in range(5):
        low, high = (getattr(inference.paired(x[number], alpha=alpha), e) for e in ("low", "high"))
        assert (found[number] == ((low > 0) | (high < 0))[i, j]).all()
    return np.asarray(found)


def _sign_flips(d: Array) -> Array:
    """Exact p of each pair's mean under all changes of sign, (studies, pairs)."""
    signs = np.array(list(itertools.product((-1, 1), repeat=d.shape[1] - 1)))
    sums = np.abs(np.einsum("sn,mnp->smp", signs, d[:, 1:]) + d[:, 0])
    return np.asarray((sums >= np.abs(d.sum(axis=1)) - 1e-9).mean(axis=0))


def _holm(p: Array) -> Array:
    order = np.argsort(p, axis=1)
    raised = np.take_along_axis(p, order, axis=1) * np.arange(p.shape[1], 0, -1)
    raised = np.maximum.accumulate(raised, axis=1)
    return np.take_along_axis(raised, np.argsort(order, axis=1), axis=1)


def methods(num: int) -> None:
    """False differences in any pair, and the power to tell a leading schedule from one other."""
    generator = np.random.default_rng(0)
    leads = ((5, 2.0), (8, 1.0), (8, 1.5), (20, 0.6))
    for sizes, planted in (((5, 8, 20), leads), ((3, 4), ((3, 3.0), (3, 5.0), (4, 3.0)))):
        _methods(generator, num, sizes, planted)


def _methods(
    generator: np.random.Generator,
    num: int,
    sizes: tuple[int, ...],
    leads: tuple[tuple[int, float], ...],
) -> None:
    for n, world in itertools.product(sizes, WORLDS):
        found = by_method(noise(generator, world, num, n, STRATEGIES))
        counts = {name: float(false.any(axis=1).sum()) for name, false in found.items()}
        _tell(f"any false difference, n = {n}, {world}", counts, num)
    for n, lead in leads:
        x = noise(generator, "normal", num, n, STRATEGIES) + np.eye(STRATEGIES)[0] * lead
        found = by_method(x)
        counts = {m: float(told[:, : STRATEGIES - 1].mean() * num) for m, told in found.items()}
        _tell(f"power, n = {n}, one of four {lead} ahead", counts, num)


def looks(num: int) -> None:
    """Any false difference at any reading, from 6 to 40 seeds, once for each added seed."""
    generator = np.random.default_rng(0)
    at = range(6, 41)
    levels = {n: level([m / 40 for m in range(6, n + 1)]) for n in at}
    for k in (2, STRATEGIES):
        x = noise(generator, "normal", num, 40, k)
        paid = np.array([used(x[:, :n], levels[n]).any(axis=1) for n in at])
        plain = np.array([used(x[:, :n]).any(axis=1) for n in at])
        counts = {
            "paid for": float(paid.any(axis=0).sum()),
            "not paid for": float(plain.any(axis=0).sum()),
            "read once, at 40": float(plain[-1].sum()),
        }
        _tell(f"any false difference at any of {len(at)} readings, k = {k}", counts, num)


def draws(num: int) -> None:
    """Four schedules of equal response to five peak lrs, each tuned on two seeds, five times."""
    generator = np.random.default_rng(0)
    response = -np.array([4.0, 1.0, 0.0, 1.0, 4.0])
    for n, val_sd in ((8, 0.6), (20, 1.0)):
        shape = (num, 5, STRATEGIES, len(response))
        tried = response + val_sd / math.sqrt(2) * generator.normal(size=shape)
        truth = response[tried.argmax(axis=-1)]  # (studies, draws, strategies): at the lrs chosen
        scores = truth[:, :, None] + noise(generator, "normal", num, 5, n, STRATEGIES)
        once, five = used(scores[:, 0]), used(scores.mean(axis=2))
        i, j = np.triu_indices(STRATEGIES, 1)
        same = truth[:, 0, i] == truth[:, 0, j]
        counts = {
            "of the schedules, one draw": float(once.any(axis=1).sum()),
            "at these lrs, one draw": float((once & same).any(axis=1).sum()),
            "of the schedules, five draws": float(five.any(axis=1).sum()),
        }
        _tell(f"any false difference, tuned, validation sd {val_sd}, n = {n}", counts, num)


def draw(*address: object) -> float:
    """A standard normal number that depends on `address` alone."""
    return float(np.random.default_rng(zlib.crc32(repr(address).encode())).normal())


SD = 0.004  # of an accuracy: shared by a seed's runs, and once more for each run
VAL_IMAGES = 144
FOLDER = Path("null")
LEADS = {"cosine": 0.0, "onecycle": -0.003, "plateau": -0.006, "warmup_decay": 0.0}  # "planted"


def world_of(number: int, kind: str, images: int) -> Callable[[Point, Mapping[str, str]], Truth]:
    """What a run comes to in study `number`."""

    def world(point: Point, given: Mapping[str, str]) -> Truth:
        seed = draw(number, given["trainer.length"], point.seed)
        # A run without a plateau's cut is the same run, which only the cut makes another.
        own = (number, *sorted(o for o in point.overrides if "min_factor" not in o))
        mine, val = draw(*own, "test"), draw(*own, "val")
        if point.strategy == "cosine":
            uniform = float(stats.norm.cdf(mine))
            mine = {
                "unequal": 3 * mine,
                "skewed": 1 + math.log(max(uniform, 1e-12)),
                "collapses": mine + (0.05 - (draw(*own, "fate") < stats.norm.ppf(0.05))) * COLLAPSE,
            }.get(kind, mine)
        lead = LEADS.get(point.strategy, 0.0) if kind == "planted" else 0.0
        held = float(given.get("scheduler.min_factor", 0.0))
        fires = point.strategy == "plateau" and held < 1
        test = 0.93 + lead + SD * (seed + mine)
        return Truth(
            test=round(min(test, 1) * images) / images,
            val=round(min(0.93 + lead + SD * (seed + val), 1) * VAL_IMAGES) / VAL_IMAGES,
            late_gain=0.01 + SD * draw(*own, "late"),
            cuts=(60,) if fires else (),
            gain_at_cut=SD * draw(*own, "cut"),
            norm=float(np.exp(1 + 0.2 * seed + 0.3 * draw(*own, "norm"))),
            size=images,
        )

    return world


def errors(number: int, kind: str, images: int, seeds: int) -> set[str]:
    """What study `number` claims though it is not so."""
    world = world_of(number, kind, images)
    made = study(budgets=["30%", "100%"], final_seeds=list(range(100, 100 + seeds)))
    outcome = imagine(FOLDER, world, made)
    runs = runs_of(outcome, world)
    margin = Margin.of(None, outcome.measure, 0.95)
    truth = LEADS if kind == "planted" else dict.fromkeys(LEADS, 0.0)
    found = set()
    for stage in outcome.stages:
        for track, own in (("tuned", stage.final), ("untuned", stage.untuned)):
            analysis = tracks.track(outcome, stage, own, runs, track)
            assert analysis is not None
            for pair in analysis.pairs:
                lead = truth[pair.a] - truth[pair.b]
                if pair.finding.startswith("beats") and lead <= 0:
                    found.add("false beats")
                if "equivalent" in pair.finding and abs(lead) > margin.size:
                    found.add("false equivalent")
            best = max(truth.values())
            if any(best - truth[x.strategy] > x.may_lose for x in losses(analysis)):
                found.add("loses more than told")
            full = track == "tuned" and stage is outcome.full
            if full and kind != "planted" and recommend(outcome, analysis, runs).sure:
                found.add("a sure recommendation")
            if (
                full
                and kind == "planted"
                and "plateau" in {p.b for p in analysis.pairs if p.finding.startswith("beats")}
            ):
                found.add("true: plateau is beaten")
    claims = guide.judge(outcome, runs, margin)
    if kind != "planted" and any(claim.finding == "supported" for claim in claims):
        found.add("supported by the guide")
    if found - {"true: plateau is beaten", "loses more than told"}:
        found.add("ANY FALSE CLAIM")
    return found


def reports(num: int, only: str = "") -> None:
    """Whole reports: any false claim in any of their comparisons or by the guide."""
    cases = [(kind, 2000, 8) for kind in ("unequal", "skewed", "collapses", "planted")]
    cases += [("normal", 360, 8), ("normal", 10_000, 5)]
    for kind, images, seeds in cases:
        if only not in kind:
            continue
        counts: Counter[str] = Counter({"ANY FALSE CLAIM": 0, "loses more than told": 0})
        for number in range(num):
            counts.update(errors(number, kind, images, seeds))
        _tell(f"reports, {kind}, {images} test images, n = {seeds}", counts, num)


def _tell(title: str, counts: Mapping[str, float], num: int) -> None:
    error = 100 / math.sqrt(num)
    told = "; ".join(f"{name} {100 * count / num:.1f} %" for name, count in counts.items())
    print(f"{title} ({num} studies, ± {0.43 * error:.1f} at 5 %): {told}", flush=True)


def main() -> None:
    """Run one kind of studies."""
    kinds: dict[str, Callable[..., None]] = {
        "methods": methods,
        "looks": looks,
        "draws": draws,
        "reports": reports,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--only", default="", help="of `reports`: those of one kind of noise")
    arguments = parser.parse_args()
    more = (arguments.only,) if arguments.kind == "reports" else ()
    kinds[arguments.kind](arguments.studies, *more)


if __name__ == "__main__":
    main()
