"""Cooldowns from one trunk: what a constant run would have reached, had it ended at several points.

A trunk holds its learning rate; from its state at each point asked for, a run goes on that falls
linearly to the floor. Together they are the anytime curve: the loss against the updates spent.
"""
