"""Going on with a run whose schedule or length has changed: refused, or as a policy says."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from lrbench.config import PARTS, build, flatten
from lrbench.config.checks import require_choice
from lrbench.config.compose import change
from lrbench.files import run_folder
from lrbench.files.run_folder import FolderError
from lrbench.run.checkpoint import load_checkpoint, save_checkpoint
from lrbench.run.parts import build_parts
from lrbench.trainer import Trainer

log = logging.getLogger(__name__)

POLICIES = ("rescale", "keep", "cooldown")


def resume(
    folder: Path, changes: Sequence[str], config_dir: Path | None, policy: str | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The config that the run in `folder` goes on with, and the names of its choices.

    Of the folder the resolved config and those names are read, as plain data.

    Without a policy it is the recorded one, in other places perhaps. With one, only the schedule
    and the length may have changed, and the folder is made over to the new config:

    - ``rescale``: the schedule asked for, as if it had been laid out on the new length from the
      start; the lr may leap where the run is taken up.
    - ``keep``: the recorded schedule stays as it was laid out, and holds its last lr past its end
      (one without an end, such as a plateau, goes on).
    - ``cooldown``: like keep up to here, then linearly to zero at the end.

    Args:
        changes: overrides of the recorded config.
        config_dir: a folder with files of the user's own, for the choices among them.

    Raises:
        FolderError: the command changes what no policy allows, or changes anything without one.
        CheckpointError: there is no checkpoint to go on from.
    """
    old = _completed(folder, run_folder.read_config(folder))
    new = change(old, changes, config_dir) if changes else old
    choices = run_folder.read_choices(folder)
    for override in OverridesParser.create().parse_overrides(list(changes)):
        if override.key_or_group in PARTS and override.package is None:
            choices[override.key_or_group] = str(override.value())
    differences = run_folder.diff(old, new)
    if policy is None:
        if differences:
            raise FolderError(
                f"resume={folder} would change the run ({differences}): leave that out, or say how "
                f"to go on with resume_policy={', '.join(POLICIES[:-1])} or {POLICIES[-1]}"
            )
        return new, choices
    require_choice("resume_policy", policy, POLICIES)
    for name, rule in (new["optimizer"].get("groups") or {}).items():
        if policy != "rescale" and rule.get("scheduler") is not None:
            raise FolderError(
                f"resume_policy={policy} does not reach optimizer.groups.{name}.scheduler: write "
                "resume_policy=rescale"
            )
    before, after = (flatten(run_folder.identity(config)) for config in (old, new))
    for key in sorted(before.keys() | after.keys()):
        free = key.startswith("scheduler.") or key == "trainer.length"
        if not free and before.get(key) != after.get(key):
            raise FolderError(
                f"resume={folder} cannot change {key}: {before.get(key)} → {after.get(key)}; only "
                "scheduler and trainer.length can change within a run"
            )
    if not differences and policy != "cooldown":
        return new, choices
    checkpoint = load_checkpoint(folder / run_folder.CHECKPOINT)
    total_steps = _new_length(new, checkpoint, folder)
    if policy != "rescale":
        new = {**new, "scheduler": _kept(policy, old["scheduler"], checkpoint, total_steps)}
    scheduler = build_parts(new).scheduler
    try:
        scheduler.plan(total_steps, checkpoint["steps_per_epoch"])
    except ValueError as error:
        raise FolderError(f"scheduler.{error}") from error
    return _make_over(folder, new, checkpoint, policy), choices


def _new_length(new: Mapping[str, Any], checkpoint: Mapping[str, Any], folder: Path) -> int:
    step, length = checkpoint["state"]["step"], new["trainer"]["length"]
    settings: Trainer = build(new["trainer"], "trainer")
    total_steps = settings.total_steps(checkpoint["steps_per_epoch"], *checkpoint["counted_in"])
    if total_steps <= step:
        raise FolderError(
            f"trainer.length={length} is {total_steps} updates, but the run in {folder} has taken "
            f"{step} already: make it longer"
        )
    return total_steps


def _kept(
    policy: str, node: dict[str, Any], checkpoint: Mapping[str, Any], total_steps: int
) -> dict[str, Any]:
    """The config of the recorded schedule as it was laid out, with or without a cooldown."""
    planned, steps_per_epoch = checkpoint["total_steps"], checkpoint["steps_per_epoch"]
    scheduler = build(node, "scheduler")
    shorter = min(planned, total_steps)
    first = scheduler.factors(planned, steps_per_epoch)[:shorter]
    if scheduler.factors(total_steps, steps_per_epoch)[:shorter] == first:
        # No duration of it hangs on the run's length (a plateau, steps of so many epochs): it
        # need not end where the first plan did.
        planned = total_steps
        if policy == "keep":
            return node
    return {
        "_target_": "lrbench.scheduler.Continued",
        "warmup": "0 steps",
        "warmup_shape": "linear",
        "warmup_start_factor": 1.0,
        "schedule": node,
        "planned_steps": planned,
        "cooldown_start": checkpoint["state"]["step"] if policy == "cooldown" else None,
    }


def _make_over(
    folder: Path, config: dict[str, Any], checkpoint: dict[str, Any], policy: str
) -> dict[str, Any]:
    """Write `config` into the checkpoint and `.hydra/`; the run is no longer done."""
    differences = run_folder.diff(checkpoint["config"], config)
    step = checkpoint["state"]["step"]
    log.info("going on after update %d under resume_policy=%s: %s", step, policy, differences)
    checkpoint["state"]["resumes"].append({"step": step, "policy": policy, "changed": differences})
    checkpoint["made_over_from"] = checkpoint["fingerprint"]  # until the next regular checkpoint
    checkpoint["config"] = config
    checkpoint["fingerprint"] = run_folder.fingerprint(config)
    (folder / run_folder.RESULT).unlink(missing_ok=True)
    save_checkpoint(folder / run_folder.CHECKPOINT, checkpoint)
    return _write_config(folder, config)


def _write_config(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    run_folder.write_yaml(folder / run_folder.CONFIG, OmegaConf.create(config))
    return config


def _completed(folder: Path, recorded: dict[str, Any]) -> dict[str, Any]:
    """The recorded config, or the checkpoint's where a kill cut a making over between the two."""
    path = folder / run_folder.CHECKPOINT
    if not path.exists():
        return recorded
    checkpoint = load_checkpoint(path)
    before = run_folder.fingerprint(recorded)
    if checkpoint.get("made_over_from") != before:
        return recorded
    return _write_config(folder, checkpoint["config"])
