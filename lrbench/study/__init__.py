"""The fair protocol: tune every strategy alike, compare on fresh seeds, measure common claims.

``python -m lrbench.study`` on the command line.
"""

from lrbench.study.settings import Guide, Study

__all__ = ["Guide", "Study"]
