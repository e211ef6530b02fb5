"""From a YAML node to a checked object: the one door between Hydra's configs and the code."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, make_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from lrbench.config import trust
from lrbench.config.checks import ConfigError as ConfigError
from lrbench.config.checks import nearest

_PACKAGE = Path(__file__).resolve().parents[1]
# An installed wheel carries conf/ inside the package; a checkout has it beside.
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if p.is_dir())


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a third-party class or function that waits for what only the run knows.

    `target` is imported at the first call, so that a node naming torch costs nothing to check.
    """

    target: str
    arguments: Mapping[str, Any]
    path: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the target with `args`, the node's keys, and those of `kwargs` it does not set.

        Raises:
            ConfigError: the target is missing or refuses its arguments.
        """
        target = self.locate()
        _check_signature(target, self.arguments, self.path)
        trust.check_arguments(target, args, self.arguments, self.path)
        try:
            return target(*args, **{**kwargs, **self.arguments})
        except (MemoryError, ConfigError):
            raise
        except Exception as error:  # whatever someone else's code raises at a wrong value
            reason = " ".join(str(error).split())
            named = "" if isinstance(error, TypeError | ValueError) else f"{type(error).__name__}: "
            raise ConfigError(f"{self.path}: {self.target}: {named}{reason}") from error

    def locate(self) -> Any:
        """Import the target.

        Raises:
            ConfigError: there is none, or it is not allowed.
        """
        return locate(self.target, f"{self.path}._target_")


def build(node: Any, path: str, kind: type | tuple[type, ...] = object) -> Any:
    """Build the object that `node` describes.

    A `_target_` that is a dataclass is checked against its field types and constructed; any other
    callable becomes a `Call`. Nested nodes with a `_target_` are built first (those in fields of
    type `Call` stay unimported), and lists arrive as tuples.

    Args:
        node: a mapping with a `_target_`, as Hydra composed it.
        path: the node's place in the config (``"scheduler"``; ``""`` is the top), for messages.
        kind: what the object must be an instance of.

    Raises:
        ConfigError: one line that names the key, its value and what would be right.
    """
    values = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if not isinstance(values, Mapping) or "_target_" not in values:
        raise ConfigError(f"{path}={values} has no _target_: name the class or function to build")
    name = str(values["_target_"])
    target: Any = locate(name, f"{path}._target_")
    keys = {str(key): value for key, value in values.items() if key != "_target_"}
    made: Any = target if is_dataclass(target) else Call
    if not issubclass(made, kind):
        wanted = kind[0] if isinstance(kind, tuple) else kind
        room = ".".join(wanted.__module__.split(".")[:2])
        raise ConfigError(f"{path}._target_={name} is not a {room}.{wanted.__name__}")
    if not is_dataclass(target):
        arguments = {key: _nested(value, f"{path}.{key}") for key, value in keys.items()}
        _check_signature(target, arguments, path)
        return Call(target=name, arguments=arguments, path=path)
    try:
        return cast(Any, target)(**_convert(target, keys, path))
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(_join(path, str(error))) from error


def locate(name: Any, path: str = "_target_") -> Any:
    """Import the object with the dotted `name`, such as ``torch.optim.SGD``.

    Raises:
        ConfigError: there is none, or `lrbench.config.trust` does not allow it.
    """
    trust.check_name(str(name), path)
    parts = str(name).split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:cut])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and not module_name.startswith(error.name):
                raise ConfigError(f"{path}={name} needs the package {error.name}") from error
            continue
        except Exception as error:  # the module's own fault, whatever it is
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{path}={name}: importing {module_name} failed: {reason}") from error
        for attribute in parts[cut:]:
            if not hasattr(found, attribute):
                known = nearest(attribute, dir(found))
                raise ConfigError(f"{path}={name}: {module_name} has no {attribute}{known}")
            found = getattr(found, attribute)
        if not callable(found):
            raise ConfigError(f"{path}={name} is not a class or a function")
        trust.check_found(found, str(name), path)
        return found
    raise ConfigError(
        f"{path}={name}: there is no package {parts[0]} here; install it or mend the name"
    )


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of a nested config as ``{"trainer.batch_size": 64, ...}``."""
    if isinstance(node, DictConfig):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, Mapping) and node:
        leaves: dict[str, Any] = {}
        for key, value in node.items():
            leaves |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
        return leaves
    return {prefix: node}


def _nested(value: Any, path: str) -> Any:
    """`value` with the nodes inside it built and its lists made tuples."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value, path)
        return {key: _nested(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_nested(item, f"{path}[{i}]") for i, item in enumerate(value))
    return value


def _convert(cls: Any, keys: dict[str, Any], path: str) -> dict[str, Any]:
    """Check `keys` against the dataclass `cls` and convert them to its field types."""
    names = {field.name: field for field in fields(cls)}
    for key, value in keys.items():
        if key not in names:
            raise ConfigError(
                f"{_join(path, key)}={value} is not a key of {cls.__name__} "
                f"({', '.join(names)}){nearest(key, names)}"
            )
    for key, field in names.items():
        optional = field.default is not MISSING or field.default_factory is not MISSING
        if keys.get(key, "???") == "???" and not optional:
            place = _join(path, key)
            raise ConfigError(f"{place} has no value: write {place}=...")
    types = get_type_hints(cls)
    return {key: _convert_value(types[key], keys[key], _join(path, key)) for key in keys}


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _convert_value(kind: Any, value: Any, path: str) -> Any:
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None and type(None) in kinds:
        return None
    if Call in kinds:
        if not isinstance(value, Mapping) or "_target_" not in value:
            raise ConfigError(f"{path}={value} has no _target_: name the class or function to call")
        arguments = {key: item for key, item in value.items() if key != "_target_"}
        trust.check_name(str(value["_target_"]), f"{path}._target_")
        return Call(target=str(value["_target_"]), arguments=_nested(arguments, path), path=path)
    item = next((get_args(k)[1] for k in kinds if get_origin(k) is Mapping), None)
    if isinstance(value, Mapping) and is_dataclass(item):  # which the items need not name
        own = f"{item.__module__}.{item.__qualname__}"  # type: ignore[union-attr]
        value = {
            k: {"_target_": own, **v} if isinstance(v, Mapping) else v for k, v in value.items()
        }
    nodes = isinstance(value, Mapping) or (
        isinstance(value, list) and any(isinstance(item, Mapping) for item in value)
    )
    if nodes:  # nested nodes check themselves
        built = _nested(value, path)
        allowed = tuple(get_origin(k) or k for k in kinds)
        if Any not in allowed and not isinstance(built, allowed):
            raise ConfigError(f"{path}={value} must be of type {_type_name(kind)}")
        return built
    if type(value) in kinds and type(value) in (bool, int, float, str):
        return value
    try:
        schema = OmegaConf.structured(_schema(kind))
        if kind is bool and value not in (0, 1) and not isinstance(value, str):
            raise ValidationError  # which OmegaConf, taking any number for a truth value, doesn't
        schema.value = value
    except OmegaConfBaseException as error:  # also at a type that only nodes can have
        raise ConfigError(f"{path}={value} must be of type {_type_name(kind)}") from error
    return _tuples(OmegaConf.to_container(schema)["value"])  # type: ignore[index, call-overload]


@cache
def _schema(kind: Any) -> type:
    """A dataclass with the one field `value`, of type `kind`."""
    return make_dataclass("Schema", [("value", kind)])


def _type_name(kind: Any) -> str:
    if isinstance(kind, type) and not get_args(kind):
        return kind.__name__
    return re.sub(r"\w+\.", "", str(kind))  # without the names of modules


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _check_signature(target: Any, arguments: Mapping[str, Any], path: str) -> None:
    """Refuse keys that a third-party callable does not take, and texts for its truth values."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # some C functions have none
        return
    for key, value in arguments.items():
        switch = key in parameters and isinstance(parameters[key].default, bool)
        if switch and not isinstance(value, bool):
            raise ConfigError(f"{path}.{key}={value} must be true or false")
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key, value in arguments.items():
        if key not in parameters:
            raise ConfigError(
                f"{path}.{key}={value} is not an argument of {target.__module__}.{target.__name__}"
                f"{nearest(key, parameters)}"
            )
