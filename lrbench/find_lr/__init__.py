"""The learning-rate range test: one short ramp of the lr per seed, and what its loss tells.

``python -m lrbench.find_lr`` on the command line; in a loop of one's own::

    from lrbench.find_lr import conclude, range_test, settings

    test = settings(lr_max=1.0)  # conf/find_lr.yaml, changed
    curve = range_test(update, model, optimizer, test)  # update(): one optimizer update → its loss
    print(conclude([curve], test).suggestions["valley"].median)

Importing this package does not import torch.
"""

from lrbench.find_lr.bare_loop import range_test, untouched
from lrbench.find_lr.findings import Findings, Spread, conclude
from lrbench.find_lr.settings import RangeTest, settings
from lrbench.find_lr.tape import Ramp

__all__ = [
    "Findings",
    "Ramp",
    "RangeTest",
    "Spread",
    "conclude",
    "range_test",
    "settings",
    "untouched",
]
