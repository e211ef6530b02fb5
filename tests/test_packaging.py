"""What `pip install .` puts elsewhere works there, configs included."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def test_the_wheel_has_all_it_needs_in_any_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    built = subprocess.run(
        [*build, str(tmp_path), str(REPOSITORY)], capture_output=True, text=True, check=False
    )
    if "hatchling" in built.stderr and built.returncode != 0:
        pytest.skip("the build needs hatchling, and no registry is reached")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    shipped = {p.relative_to(site / "lrbench") for p in (site / "lrbench" / "conf").rglob("*.yaml")}
    assert shipped == {p.relative_to(REPOSITORY) for p in (REPOSITORY / "conf").rglob("*.yaml")}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run = subprocess.run(  # composes and checks a run without importing torch, which takes seconds
        [sys.executable, "-m", "lrbench.preview", "scheduler=onecycle", "csv=run.csv"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert len((elsewhere / "run.csv").read_text().splitlines()) == 1 + 300
