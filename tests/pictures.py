"""Pictures that cost nothing: drawn, but neither laid out nor rendered, which takes seconds.

Tests with the mark ``pictures`` look at pictures and get real ones; the files that all others leave
are those of an empty picture.
"""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

real = True  # whether the test that runs now gets real ones

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="500pt" height="300pt"><style></style></svg>\n'


def install() -> None:
    """Let matplotlib save empty pictures in this process as long as `real` is False."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    rendered, rastered = Figure.savefig, FigureCanvasAgg.print_png

    def save(figure: Figure, target: Any, **how: Any) -> None:
        if real:
            rendered(figure, target, **how)
            return
        ending = how.get("format") or Path(target).suffix[1:]
        content = io.BytesIO(SVG.encode())
        if ending != "svg":
            Image.new("L", (8, 8)).save(content, format=ending)
        if isinstance(target, io.BytesIO):
            target.write(content.getvalue())
        else:
            Path(target).write_bytes(content.getvalue())

    Figure.savefig = save  # type: ignore[method-assign, assignment]

    @functools.wraps(rastered)  # matplotlib passes less to a function of its own
    def print_png(canvas: FigureCanvasAgg, target: Any, **how: Any) -> None:
        if real:
            rastered(canvas, target, **how)
        else:
            save(canvas.figure, target, format="png")

    FigureCanvasAgg.print_png = print_png  # type: ignore[method-assign, assignment]
