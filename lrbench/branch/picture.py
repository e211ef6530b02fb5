"""The anytime curve drawn: the trunk's loss, each cooldown from it, and the line of their ends."""

from __future__ import annotations

from pathlib import Path

from lrbench.branch.findings import Findings
from lrbench.draw import figure as drawing
from lrbench.draw import palette


def save_picture(folder: Path, found: Findings) -> drawing.Picture:
    """Write branch.png and branch.svg into `folder`."""
    figure, (axes,) = drawing.new_figure(drawing.WIDTH, 4.2)
    axes.plot([*found.trunk], [*found.trunk.values()], color=palette.INK, linewidth=1.2)
    for fall in found.falls.values():
        axes.plot([*fall], [*fall.values()], color=palette.COLOURS[0], linewidth=1.0)
    ends = [(p.length, p.val_loss) for p in found.points]
    axes.plot(*zip(*ends, strict=True), color=palette.COLOURS[1], marker="o")
    first = min(min(point.at for point in found.points), max(found.trunk))
    seen = [loss for step, loss in found.trunk.items() if step >= first]
    seen += [loss for fall in found.falls.values() for loss in fall.values()]
    margin = 0.05 * (max(seen) - min(seen)) or 0.05
    axes.set_ylim(min(seen) - margin, max(seen) + margin)  # the steep beginning says nothing
    axes.set_xlim(0)
    axes.set_xlabel("optimizer updates")
    axes.set_ylabel("validation loss")
    drawing.count_axis(axes.xaxis)
    title = "Loss against updates: the trunk, its cooldowns, and where they end"
    figure.suptitle(title, x=0.01, ha="left", fontsize=drawing.FONT_SIZE + 1)
    return drawing.save(figure, folder, "branch", title, found.summary)
