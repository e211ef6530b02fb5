"""Draw the README's pictures of schedules into scripts/pictures/: the whole family, and the four.

    python scripts/gallery.py [--history FOLDER]

Schedules that react to the validation loss are drawn from a real run's losses: the one in FOLDER,
else the embedded digits are trained for it here, with the plateau schedule itself, which takes
half a minute.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib
from PIL import Image

from lrbench.preview.arguments import Arguments
from lrbench.preview.compose import compose
from lrbench.preview.curve import ScheduleCurve, lay_out
from lrbench.preview.picture import STYLE, draw, save, small_multiples
from lrbench.preview.replay import History, read_history

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "scripts" / "pictures"
FOUR = ("cosine", "warmup_decay", "onecycle", "plateau")
# 50 epochs are 1,000 updates: the Keras presets decay over as many.
SETTINGS = ("dataset=digits", "trainer.length=50 epochs", "optimizer.lr=0.1")
PLATEAU = ("scheduler.patience=4", "scheduler.cut_factor=0.2")  # shows cuts in so short a run


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--history", type=Path, help="a run folder with the losses to show")
    folder = parser.parse_args().history
    with tempfile.TemporaryDirectory() as scratch:
        history = read_history(folder or record(Path(scratch, "run")))
    write("four", [curve(name, history) for name in FOUR], "plateau as in a real run")
    note = "those that react to the validation loss replay a real run's"
    write("gallery", [curve(name, history) for name in family()], note)


def record(folder: Path) -> Path:
    """Train the digits with the plateau schedule in `folder`."""
    overrides = [*SETTINGS, "scheduler=plateau", *PLATEAU, f"hydra.run.dir={folder}"]
    subprocess.run([sys.executable, "-m", "lrbench", *overrides], cwd=ROOT, check=True)
    return folder


def family() -> list[str]:
    """The name of every schedule: the four first, presets that reproduce Keras last.

    A file that begins with an underscore is no schedule but a part of others.
    """
    files = (ROOT / "conf" / "scheduler").rglob("[!_]*.yaml")
    names = [file.relative_to(ROOT / "conf" / "scheduler").with_suffix("") for file in files]
    rest = sorted(str(name) for name in names if str(name) not in FOUR)
    return [*FOUR, *sorted(rest, key=lambda name: "/" in name)]


def curve(name: str, history: History) -> ScheduleCurve:
    """Schedule `name` on the settings of the pictures."""
    # The presets bring a base lr of their own, which SETTINGS would override.
    settings = [word for word in SETTINGS if "/" not in name or not word.startswith("optimizer")]
    more = [*PLATEAU] if name == "plateau" else []
    if name == "chain":
        more = [
            word.replace("scheduler.", "scheduler.parts.plateau.scheduler.") for word in PLATEAU
        ]
    choice = compose([f"scheduler={name}", *settings, *more], conf=ROOT / "conf")[0]
    return lay_out(choice, Arguments(), history)


def write(name: str, curves: list[ScheduleCurve], note: str) -> None:
    """Draw `curves` as scripts/pictures/{name}.png, with a palette of 256 colours."""
    first = curves[0]
    shared = f"{first.total_steps:,} updates, {first.steps_per_epoch:,} an epoch"
    with matplotlib.rc_context(STYLE):
        if name == "gallery":
            # Panels compare shapes: each lr is shown as a ratio of its base lr.
            curves = [replace(c, base_lr=1.0, mark=None) for c in curves]
            title = f"The schedules of lrbench: {shared}; {note}"
            figure = small_multiples(
                curves, scale="linear", title=title, columns=5, ylabel="lr / base lr"
            )
        else:
            curves = [replace(c, mark=None) for c in curves]
            title = f"Four schedules at a base lr of {first.base_lr:g}: {shared}; {note}"
            figure = draw(curves, history=None, scale="linear", title=title)
        path = PICTURES / f"{name}.png"
        save(figure, [path])
    with Image.open(path) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
