"""Reading the lr that runs logged from their folders."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from lrbench.audit.asked import LrLog
from lrbench.config import flatten
from lrbench.files.reading import MEBIBYTE, parse_yaml, plain_text, read_bytes
from lrbench.files.result import read_result
from lrbench.files.run_folder import CONFIG, HISTORY, RESULT

MAX_HISTORY = 512 * MEBIBYTE


def read_logs(folders: Sequence[Path]) -> Iterator[tuple[str, LrLog | str]]:
    """Each run in and below `folders`: its name, and its log or why it cannot be read.

    Raises:
        ValueError: there is none.
    """
    places = [
        Path(root) for folder in folders for root, _, files in sorted(os.walk(folder))
        if RESULT in files
    ]  # fmt: skip
    if not places:
        where = ", ".join(map(str, folders))
        raise ValueError(
            f"no runs in {where}: a run has a {RESULT}; import other tools' logs first: python -m "
            f"lrbench.importer {where} to=FOLDER"
        )
    for place in places:
        try:
            yield plain_text(place), _read(place)
        except (OSError, ValueError) as error:
            yield plain_text(place), f"cannot be read ({plain_text(error)})"


def _read(folder: Path) -> LrLog:
    result, _ = read_result(folder / RESULT)
    try:
        history = pd.read_csv(io.BytesIO(read_bytes(folder / HISTORY, MAX_HISTORY)))
    except FileNotFoundError:
        history = pd.DataFrame({"step": []})  # its lr was not logged
    try:
        config = flatten(parse_yaml(read_bytes(folder / CONFIG).decode()))
    except FileNotFoundError:
        config = {}
    return LrLog.of(result, history, config)
