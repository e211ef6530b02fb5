"""From a ramp's curve to learning rates: three common rules, pure functions of numbers.

Each takes the lrs and the smoothed losses of one ramp, float64 (n,), n >= 3, lrs in even ratios.
"""

from __future__ import annotations

import numpy as np


def steepest(lr: np.ndarray, loss: np.ndarray) -> float:
    """The lr where the loss falls fastest against log lr, by central differences.

    torch-lr-finder's, which differentiates by the update: the same place on an even ramp. But
    only up to the lowest loss: past it, a spike's far side can be the steepest fall of all.
    """
    slope = np.gradient(loss, np.log(lr))
    return float(lr[slope[: loss.argmin() + 1].argmin()])


def valley(lr: np.ndarray, loss: np.ndarray) -> float:
    """The lr half way down the longest valley: fastai's default since 2.3.

    The valley is the longest subsequence of falling losses, taken to be as many updates long as
    it has members and to end where it does; the lr is that after one third and half of another.
    """
    longest = np.ones(len(loss), dtype=np.int64)  # falling subsequence that ends here
    for i in range(1, len(loss)):
        above = longest[:i][loss[:i] > loss[i]]
        longest[i] = 1 + above.max(initial=0)
    stop = int(longest.argmax())
    length = int(longest[stop])
    if length == 1:  # the loss falls nowhere
        return float(lr[0])
    third = length / 3
    return float(lr[max(0, stop - length + int(third) + int(third / 2))])


def lowest(lr: np.ndarray, loss: np.ndarray) -> float:
    """The lr where the loss is lowest: about where training becomes unstable."""
    return float(lr[loss.argmin()])


def tenth(lr: np.ndarray, loss: np.ndarray) -> float:
    """A tenth of the lr where the loss is lowest: fastai's first rule."""
    return lowest(lr, loss) / 10
