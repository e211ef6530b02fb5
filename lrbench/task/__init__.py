"""What is learnt: the loss, the measures of success, and the unit that a batch is counted in.

Importing this package imports neither torch nor Hydra.
"""

from lrbench.task.measure import Measure

__all__ = ["Measure"]
