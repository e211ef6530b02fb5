"""Which learning rate a run really used: its logged lr held against what its schedule would give.

``python -m lrbench.audit DIR…`` on the command line, `audit` from code, for runs of lrbench's own
loop, of anybody's, and imported ones.
"""

from lrbench.audit.asked import LrLog
from lrbench.audit.causes import Audit, Finding, audit, audit_each

__all__ = ["Audit", "Finding", "LrLog", "audit", "audit_each"]
