"""What each strategy looks like in every picture: a colour and a line style that stay its own.

Colours are Okabe and Ito's and Tol's, which people of any colour vision tell apart, darkened where
needed to at least 3:1 against white. Curves that share a colour differ in line style, and the
four strategies at the heart differ in both, so that a black-and-white print can be read too.

Pictures are drawn on white. As SVG they follow the page: where that is dark, each colour becomes
what `on_dark` says.
"""

from __future__ import annotations

import colorsys
import zlib

BACKGROUND = "#ffffff"
DARK_BACKGROUND = "#16181b"
INK = "#222222"  # text and axes
FAINT = "#8a8a8a"  # lesser text, marks
GRID = "#e4e4e4"

LineStyle = str | tuple[float, tuple[float, ...]]
"""A matplotlib line style: a name, or (offset, (on, off, ...)) in line widths."""

SOLID: LineStyle = "solid"
DASHED: LineStyle = (0, (5, 1.6))
DOTTED: LineStyle = (0, (1, 1.2))
DASH_DOT: LineStyle = (0, (6, 1.6, 1, 1.6))
LONG_DASHED: LineStyle = (0, (10, 2))
DASH_DOT_DOT: LineStyle = (0, (6, 1.4, 1, 1.4, 1, 1.4))
STYLES = (SOLID, DASHED, DASH_DOT, DOTTED, LONG_DASHED, DASH_DOT_DOT)

BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#008060"
PURPLE = "#aa3377"
SKY = "#2b8cc4"
OCHRE = "#b07800"
INDIGO = "#332288"
OLIVE = "#7a7a1e"
WINE = "#882255"
GREY = "#666666"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, OCHRE, INDIGO, SKY, OLIVE, WINE, GREY)

STRATEGIES: dict[str, tuple[str, LineStyle]] = {
    "cosine": (BLUE, SOLID),
    "warmup_cosine": (BLUE, DASH_DOT_DOT),
    "onecycle": (VERMILION, LONG_DASHED),
    "warmup_decay": (GREEN, DASH_DOT),
    "plateau": (PURPLE, DASHED),
    "cosine_restarts": (SKY, DOTTED),
    "constant": (GREY, SOLID),
    "linear": (OLIVE, SOLID),
    "linear_to_zero": (OLIVE, DASHED),
    "polynomial": (OLIVE, DASH_DOT),
    "wsd": (OCHRE, SOLID),
    "trapezoid": (OCHRE, DASHED),
    "piecewise": (OCHRE, DASH_DOT),
    "step": (INDIGO, SOLID),
    "multistep": (INDIGO, DASHED),
    "exponential": (INDIGO, DASH_DOT),
    "inverse_sqrt": (WINE, SOLID),
    "noam": (WINE, DASHED),
    "rex": (GREEN, SOLID),
    "tanh": (BLUE, DASH_DOT),
    "cyclic": (SKY, SOLID),
    "chain": (PURPLE, DASH_DOT),
    "keras/cosine_decay": (BLUE, LONG_DASHED),
    "keras/warmup_decay": (GREEN, DASHED),
    "keras/polynomial_decay": (OLIVE, LONG_DASHED),
    "keras/reduce_lr_on_plateau": (PURPLE, DOTTED),
}


def colour(name: str) -> str:
    """The colour of strategy `name`, ``#rrggbb``; one that is not known gets a colour by its name.

    A folder in front (``keras/cosine_decay``) belongs to the name.
    """
    if name in STRATEGIES:
        return STRATEGIES[name][0]
    return COLOURS[zlib.crc32(name.encode()) % len(COLOURS)]


def line_style(name: str) -> LineStyle:
    """The line style of strategy `name`, for matplotlib; chosen like its colour."""
    if name in STRATEGIES:
        return STRATEGIES[name][1]
    return STYLES[zlib.crc32(name.encode()) // len(COLOURS) % len(STYLES)]


def tint(hex_colour: str, share: float) -> str:
    """`hex_colour` mixed with white: 0 is the colour itself, 1 is white."""
    parts = (int(hex_colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(p + (255 - p) * share):02x}" for p in parts)


def on_dark(hex_colour: str) -> str:
    """What `hex_colour` becomes on a dark page: of the same hue, light where it was dark."""
    if hex_colour == BACKGROUND:
        return DARK_BACKGROUND
    hue, light, colourful = colorsys.rgb_to_hls(
        *(int(hex_colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    )
    parts = colorsys.hls_to_rgb(hue, 1 - 0.91 * light, 0.85 * colourful)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)
