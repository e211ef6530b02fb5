"""``python -m lrbench.preview``: what a schedule will do, seen before anything is trained.

The real config is composed and its schedule laid out on the run's updates; no dataset is
downloaded, no model built, torch not imported.
"""
