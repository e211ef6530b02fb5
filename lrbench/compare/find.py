"""Which folders are run folders: those with a result.json, or a run that has begun."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lrbench.files.reading import plain_text, read_bytes
from lrbench.files.run_folder import RESULT, STUDY


class CompareError(ValueError):
    """Nothing can be compared, and why, in one line."""


def find(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """Each run folder in or below `folders` once, with its name below the folder searched.

    Of a study only the runs on fresh seeds count: those that tuned it are no fair comparison.

    Raises:
        CompareError: a folder does not exist, or none holds a run.
    """
    found = []
    seen: set[Path] = set()
    labels = [folder.name or str(folder.resolve().name) for folder in folders]
    unique = len(set(labels)) == len(labels)
    for folder, label in zip(folders, labels, strict=True):
        if not folder.is_dir():
            what = "does not exist"
            if folder.exists():
                what = "is a file, not a folder: for a log of another tool add format=auto"
            raise CompareError(f"{folder} {what}")
        prefix = "" if len(folders) == 1 else f"{label if unique else folder}/"
        for path in _run_folders(folder):
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                below = path.relative_to(folder).as_posix()
                found.append((path, plain_text(prefix + (below if below != "." else label))))
    if not found:
        where = ", ".join(map(str, folders))
        raise CompareError(
            f"no runs in {where}: a run folder holds a result.json; other tools' logs: add "
            "format=auto"
        )
    return found


def _run_folders(folder: Path) -> Iterator[Path]:
    for root, subfolders, files in os.walk(folder):
        subfolders.sort()
        begun = ".hydra" in subfolders and os.path.isfile(f"{root}/.hydra/config.yaml")
        if RESULT in files or begun:
            subfolders.clear()  # a run holds no runs
            yield Path(root)
        elif finals := final_folders(Path(root)):
            subfolders.clear()
            for path in finals:
                yield from _run_folders(path)


def final_folders(folder: Path) -> list[Path]:
    """Where the runs on fresh seeds are, if `folder` is a study's; else nothing."""
    try:
        names = json.loads(read_bytes(folder / STUDY))["final"]
        paths = [folder / name for name in names]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    own = folder.resolve()
    return [path for path in paths if path.is_dir() and own in path.resolve().parents]
