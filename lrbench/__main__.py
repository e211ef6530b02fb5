"""``python -m lrbench``: compose the config, build the parts, train."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lrbench import command_line, run_folder
from lrbench.resume_policy import resume
from lrbench.run import DivergedRun, run

log = logging.getLogger(__name__)
_full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
_PACKAGE = Path(__file__).resolve().parent
# An installed wheel carries conf/ inside the package; a checkout has it beside.
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if p.is_dir())


# What a user can cause and mend; anything else is a bug and keeps its traceback.
MISTAKES = (HydraException, OmegaConfBaseException, ValueError, OSError, DivergedRun)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def task(cfg: DictConfig) -> dict[str, Any]:
    """Train one run in the folder that Hydra made for it."""
    hydra_config: Any = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    try:
        if cfg.resume is not None:
            asked = cfg if command_line.changes_on_resume(hydra_config.overrides.task) else None
            cfg = resume(folder, asked, cfg.resume_policy)
            hydra_config = run_folder.recorded(folder, "hydra").hydra
        return run(cfg, folder, hydra_config)
    except MISTAKES as error:
        if (
            HydraConfig.get().mode is RunMode.MULTIRUN
        ):  # the sweep goes on; Hydra raises it at the end
            log.error(command_line.explain(error))
            raise
        run_folder.sweep_away(folder)
        if _full_error:
            raise
        sys.exit(f"lrbench: {command_line.explain(error)}")


def main() -> None:
    """Run Hydra; a mistake is one line on stderr and exit code 1, HYDRA_FULL_ERROR=1 shows all."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # make Hydra hand exceptions on instead of printing them
    try:
        sys.argv[1:] = command_line.prepare(sys.argv[1:])
        task()
    except MISTAKES as error:
        if _full_error:
            raise
        sys.exit(f"lrbench: {command_line.explain(error)}")


if __name__ == "__main__":
    main()
