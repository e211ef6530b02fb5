"""Command lines that are printed to be copied."""

from __future__ import annotations

import shlex

import pytest

from lrbench.cli.wording import shell_line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["a", "b=1"], "a b=1"),
        (["trainer.length='5 epochs'"], "\"trainer.length='5 epochs'\""),
        (["a b"], "'a b'"),
        (["it's $HOME"], "'it'\"'\"'s $HOME'"),
        (["x='`id`'"], "'x='\"'\"'`id`'\"'\"''"),
        (["x='a\\b!'"], None),
        (["'\"'"], None),
        ([""], "''"),
    ],
)
def test_a_shell_reads_the_words_again(words: list[str], line: str | None) -> None:
    assert shlex.split(shell_line(words)) == words
    assert shell_line(words) == (shlex.join(words) if line is None else line)
