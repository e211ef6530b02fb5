"""The preview's pictures: labels that collide with nothing, plots of text, files."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Annotation
from test_preview_values import CONF, STUCK, choose, curve, write_run

from lrbench.draw import palette
from lrbench.draw.labels import place, resample
from lrbench.preview.arguments import Arguments
from lrbench.preview.curve import lay_out
from lrbench.preview.picture import STYLE, appearances, draw, save_picture
from lrbench.preview.replay import read_history
from lrbench.preview.terminal import Line, plot

pytestmark = pytest.mark.pictures

FOUR = ["cosine", "warmup_decay", "onecycle", "plateau"]


def test_labels_stand_at_their_lines_and_apart() -> None:
    x = np.linspace(0, 900, 200)
    lines = [np.column_stack([x, y]) for y in (x / 2, 450 - x / 2, np.full_like(x, 430.0))]
    sizes = [(90.0, 15.0)] * 3
    places = place(lines, sizes, (0, 0, 900, 500), gap=5)
    for (a, size_a), (b, size_b) in combinations(zip(places, sizes, strict=True), 2):
        apart = abs(a.x - b.x) - (size_a[0] + size_b[0]) / 2, abs(a.y - b.y) - 15
        assert max(apart) > 0
    for spot, line in zip(places, lines, strict=True):
        assert 45 <= spot.x <= 855
        assert 7.5 <= spot.y <= 492.5
        assert 0 < spot.distance < 20
        for other in lines:
            if other is not line:
                away = np.abs(resample(other, 2) - [spot.x, spot.y]) - [45, 7.5]
                assert np.hypot(*np.maximum(away, 0).T).min() > spot.distance


def test_resampling_follows_upright_lines() -> None:
    points = resample(np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 100.0], [10.0, 100.0]]), 1.0)
    assert np.abs(np.diff(points, axis=0)).max() <= 1.01
    assert points[-1].tolist() == [10.0, 100.0]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_no_text_of_the_picture_overlaps(scale: str) -> None:
    curves = [curve(f"scheduler={name}") for name in [*FOUR, "wsd", "cosine_restarts"]]
    with matplotlib.rc_context(STYLE):
        figure = draw(curves, history=None, scale=scale, title="a title")
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        texts = [
            text
            for ax in figure.axes
            for text in ax.texts
            if isinstance(text, Annotation) and text.get_text()
        ]
        assert {text.get_text() for text in texts} >= {*FOUR, "wsd", "cosine_restarts"}
        boxes = [text.get_window_extent(renderer) for text in texts]
    for a, b in combinations(boxes, 2):
        assert not a.overlaps(b)


def test_the_files_are_the_same_each_time(tmp_path: Path) -> None:
    curves = [curve("scheduler=onecycle")]
    for folder in ("a", "b"):
        save_picture([tmp_path / folder / f"x{e}" for e in (".png", ".svg", ".pdf")], curves)
    for ending in (".png", ".svg", ".pdf"):
        first = (tmp_path / "a" / f"x{ending}").read_bytes()
        assert first == (tmp_path / "b" / f"x{ending}").read_bytes()


def test_many_curves_and_replays_are_drawn(tmp_path: Path) -> None:
    history = read_history(write_run(tmp_path / "run", STUCK, ["scheduler=constant"]))
    plateau = lay_out(choose("scheduler=plateau", "scheduler.patience=2")[0], Arguments(), history)
    save_picture([tmp_path / "replay.png"], [plateau], history=history)
    save_picture([tmp_path / "many.png"], [plateau, curve("scheduler=onecycle")] * 5)
    assert (tmp_path / "replay.png").stat().st_size > 10_000
    assert (tmp_path / "many.png").stat().st_size > 10_000


def test_variants_of_a_strategy_differ_in_colour_and_style() -> None:
    one, other = curve("scheduler=cosine"), curve("scheduler=onecycle")
    looks = appearances([one, replace(one, label="again"), other])
    assert looks[0]["color"] == palette.colour("cosine")
    assert looks[2]["color"] == palette.colour("onecycle")
    assert len({look["color"] for look in looks}) == 3
    assert looks[0]["linestyle"] != looks[1]["linestyle"]


def test_every_strategy_has_a_look_of_its_own() -> None:
    names = [
        str(path.relative_to(CONF / "scheduler").with_suffix(""))
        for path in (CONF / "scheduler").rglob("[!_]*.yaml")
    ]
    assert set(names) == set(palette.STRATEGIES)
    looks = {(palette.colour(name), palette.line_style(name)) for name in names}
    assert len(looks) == len(names)
    assert len({palette.colour(name) for name in FOUR}) == 4
    assert len({palette.line_style(name) for name in FOUR}) == 4


def test_unknown_strategies_keep_their_look() -> None:
    assert palette.colour("mine") == palette.colour("mine")
    assert palette.colour("mine") in palette.COLOURS
    assert palette.line_style("mine") in palette.STYLES


def test_colours_are_readable_on_white() -> None:
    for colour in palette.COLOURS:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
        assert 1.05 / (luminance + 0.05) >= 3


def test_a_plot_of_text() -> None:
    x = np.arange(101)
    text = plot(
        [Line("up", "#0072b2", x, x / 100), Line("down", "#d55e00", x, 1 - x / 100)],
        title="learning rate",
        x_stop=101,
        steps_per_epoch=10,
        width=60,
        height=11,
    ).plain.splitlines()
    assert all(len(line) <= 60 for line in text)
    assert text[0].strip() == "learning rate"
    assert text[1].startswith("  1 ┤")
    assert text[11].startswith("  0 ┤")
    canvas = [line[5:] for line in text[1:12]]
    dotted = [[i for i, char in enumerate(line) if 0x2800 < ord(char) < 0x2900] for line in canvas]
    assert min(dotted[0]) == 0  # down begins at the top left
    assert min(dotted[10]) == 0  # up at the bottom left
    assert max(dotted[0]) >= 53
    assert max(dotted[10]) >= 53
    assert "up" in "".join(canvas)
    assert "down" in "".join(canvas)
    assert text[-2].endswith("101 updates")
    assert text[-1].endswith("10.1 epochs")


def test_a_level_line_is_drawn_in_the_middle() -> None:
    line = Line("constant", "#666666", np.array([0, 9]), np.array([0.1, 0.1]))
    text = plot([line], title="", x_stop=10, steps_per_epoch=None, width=40, height=9).plain
    (middle,) = [row for row in text.splitlines() if row.startswith("0.1 ┤")]
    assert len(set(middle[5:-5])) == 1
    assert 0x2800 < ord(middle[5]) < 0x2900
