"""Which folders are run folders: those with a result.json, or a run that has begun."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lrbench.files.reading import plain_text
from lrbench.files.run_folder import RESULT


class CompareError(ValueError):
    """Nothing can be compared, and why, in one line."""


def find(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """Each run folder in or below `folders` once, with its name below the folder searched.

    Raises:
        CompareError: a folder does not exist, or none holds a run.
    """
    found = []
    seen: set[Path] = set()
    labels = [folder.name or str(folder.resolve().name) for folder in folders]
    unique = len(set(labels)) == len(labels)
    for folder, label in zip(folders, labels, strict=True):
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            raise CompareError(f"{folder} {what}")
        prefix = "" if len(folders) == 1 else f"{label if unique else folder}/"
        for root, subfolders, files in os.walk(folder):
            subfolders.sort()
            begun = ".hydra" in subfolders and os.path.isfile(f"{root}/.hydra/config.yaml")
            if RESULT not in files and not begun:
                continue
            subfolders.clear()  # a run holds no runs
            path = Path(root)
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                below = path.relative_to(folder).as_posix()
                found.append((path, plain_text(prefix + (below if below != "." else label))))
    if not found:
        where = ", ".join(map(str, folders))
        raise CompareError(f"no runs in {where}: a run folder holds a result.json")
    return found
