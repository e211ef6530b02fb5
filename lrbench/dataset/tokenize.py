"""Tokenizers: from text to whole numbers. Each learns from the training part of a text alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lrbench.config.checks import require
from lrbench.dataset.kinds import DatasetError

NAMES = ("bytes", "characters", "bpe-N", "a file of the library tokenizers (*.json)")
_BPE = re.compile(r"bpe-([1-9][0-9]{2,6})")
_SMALLEST_BPE = 257  # one merge beyond the 256 bytes


class Tokenizer(Protocol):
    """What turns a piece of text into tokens.

    Attributes:
        vocabulary: tokens are from 0 to one less.
        description: two tokenizers share it if they give the same tokens for every text.
    """

    vocabulary: int
    description: str

    def encode(self, text: str) -> np.ndarray:
        """The tokens of `text`, whole numbers (N,)."""


class Bytes:
    """A token for each byte of the text's UTF-8."""

    vocabulary = 256
    description = "bytes"

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), np.uint8)


class Characters:
    """A token for each character of a text's training part, in order, and a last for all others."""

    def __init__(self, training: Iterable[str]) -> None:
        alphabet = "".join(sorted(set().union(*training)))
        self.vocabulary = len(alphabet) + 1
        self.description = f"characters {alphabet}"
        self._tokens = np.full(0x110000, len(alphabet), np.int32)  # of every character there is
        self._tokens[_codes(alphabet)] = np.arange(len(alphabet))

    def encode(self, text: str) -> np.ndarray:
        return self._tokens[_codes(text)]


class Learnt:
    """What the library `tokenizers` has learnt, such as byte pairs (Sennrich et al. 2016).

    Args:
        file: the content of a tokenizer.json.
    """

    def __init__(self, file: str) -> None:
        self._tokenizer = _library().Tokenizer.from_str(file)
        self.vocabulary: int = self._tokenizer.get_vocab_size()
        self.description = file

    def encode(self, text: str) -> np.ndarray:
        (encoded,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        return np.array(encoded.ids, np.int32)


def check_name(name: str) -> None:
    """Refuse a `name` of no tokenizer.

    Raises:
        ValueError: with what there is.
    """
    match = _BPE.fullmatch(name)
    fits = (
        name in NAMES[:2]
        or name.endswith(".json")
        or (match is not None and int(match[1]) >= _SMALLEST_BPE)
    )
    rule = f"is not one of {', '.join(NAMES)}; N is {_SMALLEST_BPE} tokens or more"
    require(fits, "tokenizer", name, rule)


def is_slow(name: str) -> bool:
    """Whether the tokenizer `name` takes so long that what it gives is kept."""
    return name not in NAMES[:2]


def state(name: str) -> list[Any]:
    """What changes when the tokenizer `name` does."""
    path = Path(name).expanduser()
    if not name.endswith(".json") or not path.is_file():
        return [name]
    return [str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns]


def make(name: str, training: Iterator[str]) -> Tokenizer:
    """The tokenizer `name`, made for the `training` part of a text.

    Raises:
        DatasetError: it needs a file or a package that is not there, or more text.
    """
    if name == "bytes":
        return Bytes()
    if name == "characters":
        return Characters(training)
    if not name.endswith(".json"):
        return Learnt(train_byte_pairs(training, int(name.removeprefix("bpe-"))))
    try:
        return Learnt(Path(name).expanduser().read_text(encoding="utf-8"))
    except DatasetError:
        raise
    except Exception as error:  # the library has no class of its own
        reason = " ".join(str(error).split())
        raise DatasetError(f"dataset.tokenizer={name} is no tokenizer.json ({reason})") from error


def train_byte_pairs(training: Iterator[str], vocabulary: int) -> str:
    """Merge the most frequent pairs of tokens until there are `vocabulary`; a tokenizer.json.

    Raises:
        DatasetError: `tokenizers` is not installed, or there are too few pairs.
    """
    library = _library()
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    lines = (line for piece in training for line in piece.splitlines(keepends=True))
    tokenizer.train_from_iterator(lines, trainer)
    found = tokenizer.get_vocab_size()
    if found < vocabulary:
        raise DatasetError(
            f"dataset.tokenizer=bpe-{vocabulary}: the training part has pairs for {found} tokens "
            f"alone: write dataset.tokenizer=bpe-{found} or give more text"
        )
    return str(tokenizer.to_str())


def _codes(text: str) -> np.ndarray:
    """The Unicode code points of `text`, uint32 (N,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise DatasetError(
            "this dataset.tokenizer needs a package: pip install tokenizers"
        ) from error
    found: Any = tokenizers
    return found
