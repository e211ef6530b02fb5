"""A small plot of text: dots of braille, two by four to a character.

Drawn by hand: it is one screen of code, and the names stand at the lines, which matters where
there are no colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.text import Text

from lrbench.draw.labels import place, resample

# The bit of each dot in a braille character, by row and column.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


@dataclass(frozen=True)
class Line:
    """One curve: its name, its colour (``#rrggbb``) and its points."""

    label: str
    colour: str
    x: np.ndarray
    y: np.ndarray


def plot(
    lines: Sequence[Line],
    *,
    title: str,
    x_stop: float,
    steps_per_epoch: int | None,
    width: int,
    height: int,
) -> Text:
    """A plot of `lines` from x = 0 to `x_stop` updates.

    Args:
        steps_per_epoch: for a second scale in epochs; None leaves it out.
        width: in characters, scales included.
        height: in lines, scales not included.
    """
    low = min(float(line.y.min()) for line in lines)
    high = max(float(line.y.max()) for line in lines)
    low = 0.0 if 0 <= low < 0.5 * high else low
    if high <= low:  # one level only
        low, high = (0.0, 2 * high) if high > 0 else (low - 1, high + 1)
    ticks = {0: f"{high:.4g}", height // 2: f"{(low + high) / 2:.3g}", height - 1: f"{low:.3g}"}
    margin = max(map(len, ticks.values()))
    columns = max(width - margin - 2, 20)
    chars = np.full((height, columns), " ", dtype="<U1")
    colours = np.full((height, columns), "", dtype="<U7")
    scaled = [_scale(line, x_stop, (low, high), (columns, height)) for line in lines]
    for line, points in zip(lines, scaled, strict=True):
        _draw(chars, colours, resample(points, 0.3), line.colour)
    _write_labels(chars, colours, lines, scaled)
    text = Text(f"{'':{margin}}  {title}\n")
    for row in range(height):
        text.append(f"{ticks.get(row, ''):>{margin}} {'┤' if row in ticks else '│'}")
        for char, colour in zip(chars[row], colours[row], strict=True):
            text.append(str(char), style=str(colour) or None)
        text.append("\n")
    text.append(f"{'':{margin}} └{'─' * columns}\n")
    text.append(_scale_line(margin + 2, columns, x_stop, "updates", 1))
    if steps_per_epoch is not None:
        text.append("\n" + _scale_line(margin + 2, columns, x_stop, "epochs", steps_per_epoch))
    return text


def _scale(
    line: Line, x_stop: float, bounds: tuple[float, float], cells: tuple[int, int]
) -> np.ndarray:
    """The points in dots, (n, 2), y counted downwards."""
    low, high = bounds
    width, height = 2 * cells[0], 4 * cells[1]
    x = line.x / max(x_stop, 1) * (width - 1)
    y = (high - line.y) / (high - low) * (height - 1)
    return np.column_stack([x, np.clip(y, 0, height - 1)])


def _draw(chars: np.ndarray, colours: np.ndarray, dots: np.ndarray, colour: str) -> None:
    x, y = np.round(dots).astype(int).T
    codes = np.where(chars == " ", 0x2800, np.vectorize(ord, otypes=[int])(chars))
    np.bitwise_or.at(codes, (y // 4, x // 2), _BITS[y % 4, x % 2])
    chars[:] = np.where(codes == 0x2800, " ", np.vectorize(chr, otypes=["<U1"])(codes))
    colours[y // 4, x // 2] = colour


def _write_labels(
    chars: np.ndarray, colours: np.ndarray, lines: Sequence[Line], scaled: Sequence[np.ndarray]
) -> None:
    height, columns = chars.shape
    names = [line.label[: columns // 2] for line in lines]
    # In dots; a little lower than a character, so that neighbouring rows count as apart.
    sizes = [(2.0 * len(name), 3.4) for name in names]
    places = place(scaled, sizes, (-1.0, -1.0, 2.0 * columns, 4.0 * height), gap=2.0)
    for line, name, spot in zip(lines, names, places, strict=True):
        row = int(np.clip(round((spot.y - 1.7) / 4), 0, height - 1))
        left = int(np.clip(round((spot.x - len(name)) / 2), 0, columns - len(name)))
        chars[row, left : left + len(name)] = list(name)
        colours[row, left : left + len(name)] = line.colour


def _scale_line(margin: int, columns: int, x_stop: float, unit: str, steps: int) -> str:
    """Numbers at the start, the middle and the end of the x axis, and their unit."""
    row = [" "] * (margin + columns)
    last = f"{x_stop / steps:,.6g} {unit}"
    middle = f"{x_stop / 2 / steps:,.6g}"
    for text, at in (
        ("0", margin),
        (middle, margin + (columns - len(middle)) // 2),
        (last, margin + columns - len(last)),
    ):
        row[at : at + len(text)] = text
    return "".join(row)
