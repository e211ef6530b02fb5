"""YAML as plain data, whoever wrote it: no objects, and no aliases to describe an endless text."""

from __future__ import annotations

import re
from typing import Any

import yaml

_ALIAS = re.compile(r"(^|[\s\[{,:-])[&*]\w")


class ReadError(ValueError):
    """A file that is not read, and why; the text begins with what is wrong, such as "is a pipe"."""


def parse_yaml(text: str) -> Any:
    """The data that a YAML text describes, numbers read as OmegaConf reads them.

    Raises:
        ReadError: it is no YAML, or holds anchors and aliases, with which a small file can describe
            an endless one; lrbench writes none.
    """
    try:
        if _ALIAS.search(text) and any(
            getattr(event, "anchor", None) for event in yaml.parse(text, Loader=_Loader)
        ):
            raise ReadError("holds anchors and aliases, which are not read")
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(f"is no YAML ({' '.join(str(error).split())})") from error


# libyaml's loader is ten times as fast as the one in Python, and limits the depth.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as OmegaConf reads it: 1e-3 is a number, and a date is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def parse_scalar(text: str) -> Any:
    """The number, truth value or null that `text` spells, else `text` itself."""
    try:
        value = parse_yaml(text)
    except ReadError:
        return text
    return value if value is None or isinstance(value, bool | int | float) else text
