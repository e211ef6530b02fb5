"""Which network is the next larger one of its kind: read off conf/model, without building any."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import yaml

from lrbench.config import CONF, flatten


def next_larger(choice: str, changes: Mapping[str, Any]) -> str | None:
    """The choice of conf/model that is the next larger one than `choice`, or None.

    Larger: the same `_target_` and no number smaller (depth, width, blocks), some number larger.

    Args:
        changes: keys of the model that the command sets, ``{"width": 32}``: they hold for all.
    """
    configs = {
        path.stem: {**flatten(yaml.safe_load(path.read_text())), **changes}
        for path in sorted((CONF / "model").glob("*.yaml"))
    }
    if choice not in configs:  # the user's own: its folder is not known here
        return None
    own = configs[choice]
    larger = {name: config for name, config in configs.items() if _is_larger(config, own)}
    return min(larger, key=lambda name: _total(larger[name]), default=None)


def _is_larger(config: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    if config.keys() != own.keys():
        return False
    some = False
    for key, value in own.items():
        new, old = _numbers(config[key]), _numbers(value)
        if new is None or old is None:
            if config[key] != value:
                return False
        elif len(new) != len(old) or any(n < o for n, o in zip(new, old, strict=True)):
            return False
        else:
            some = some or new != old
    return some


def _numbers(value: Any) -> list[float] | None:
    values = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not isinstance(item, Real) for item in values):
        return None
    return [float(item) for item in values]


def _total(config: Mapping[str, Any]) -> float:
    return sum(sum(_numbers(value) or []) for value in config.values())
