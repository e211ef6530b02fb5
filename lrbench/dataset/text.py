"""Datasets of text: files of one's own, Shakespeare, and the language reference inside Python."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.config.checks import require, require_choice
from lrbench.dataset.base import DatasetConfig
from lrbench.dataset.kinds import DatasetError, Sizes

if TYPE_CHECKING:
    import torch

    from lrbench.dataset.data import Data
    from lrbench.dataset.tokens import Source, Tokens

ORDERS = ("random", "one_pass")


@dataclass(frozen=True, kw_only=True)
class TextDataset(DatasetConfig):
    """Base of the datasets of one text each, split by position: train, validation, test.

    Attributes:
        tokenizer: ``bytes``, ``characters``, or ``bpe-N``: byte pairs, N tokens in all.
        context: tokens that the model sees of the text.
        order: of training windows. ``random``: from random places; an epoch is as many updates as
            one pass takes. ``one_pass``: each once an epoch, without overlap, shuffled.
        val_fraction, test_fraction: shares of the characters, at the text's end.
        cache: folder for tokens that take long to make, and for those of large texts.
    """

    tokenizer: str
    context: int
    order: str
    val_fraction: float
    test_fraction: float
    cache: str

    def __post_init__(self) -> None:
        from lrbench.dataset import tokenize  # imports numpy

        tokenize.check_name(self.tokenizer)
        require(self.context >= 1, "context", self.context, "must be 1 token or more")
        require_choice("order", self.order, ORDERS)
        for key in ("val_fraction", "test_fraction"):
            fraction = getattr(self, key)
            require(0 < fraction < 1, key, fraction, "must be in (0, 1)")
        rule = f"must leave something to train on beside val_fraction={self.val_fraction}"
        fits = self.val_fraction + self.test_fraction < 1
        require(fits, "test_fraction", self.test_fraction, rule)

    @abstractmethod
    def source(self) -> Source:
        """Where the text comes from.

        Raises:
            DatasetError: it is not there.
        """

    def _tokens(self, *, make: bool) -> Tokens | None:
        from lrbench.dataset.tokens import read_tokens

        fractions = self.val_fraction, self.test_fraction
        return read_tokens(self.source(), self.tokenizer, fractions, Path(self.cache), make=make)

    def sizes(self) -> Sizes | None:
        """Numbers of windows; None where counting them takes long."""
        tokens = self._tokens(make=False)
        if tokens is None:
            return None
        train, val, test = tokens.counts
        return Sizes(train=(train - 1) // self.context, val=-(-val // self.context),
                     test=-(-test // self.context))  # fmt: skip

    def load(self, device: torch.device, *, channels_last: bool) -> Data:
        del channels_last
        from lrbench.dataset.windows import assemble  # imports torch

        tokens = self._tokens(make=True)
        assert tokens is not None
        return assemble(tokens, device, context=self.context, order=self.order)


@dataclass(frozen=True, kw_only=True)
class Text(TextDataset):
    """A text file, or all files of a folder and those below it, one after another."""

    path: str
    encoding: str  # as Python names it: utf-8, latin-1

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            "".encode(self.encoding)
        except LookupError:
            rule = "is no encoding of texts that Python knows; utf-8 and latin-1 are two"
            require(False, "encoding", self.encoding, rule)

    def source(self) -> Source:
        from lrbench.dataset.tokens import Files

        return Files(Path(self.path).expanduser(), self.encoding)


@dataclass(frozen=True, kw_only=True)
class Shakespeare(TextDataset):
    """Plays of Shakespeare, 1,115,394 characters: tinyshakespeare (Karpathy, char-rnn)."""

    root: str  # the folder with tinyshakespeare.txt or input.txt, or where to download it to
    download: bool

    def source(self) -> Source:
        from lrbench.dataset.tokens import Whole

        root = Path(self.root).expanduser()
        path = next((p for p in (root / name for name in _NAMES) if p.is_file()), root / _NAMES[0])
        if not path.is_file():
            if not self.download:
                raise DatasetError(
                    f"dataset.root={self.root} has no {' or '.join(_NAMES)}: set dataset.root to "
                    "the folder that holds it, or dataset.download=true"
                )
            from lrbench.dataset.download import download_file  # imports torchvision

            download_file(_URL, path, _MD5)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path} cannot be read ({error.strerror}): mend it") from error
        if hashlib.sha256(content).hexdigest() != _SHA256:
            raise DatasetError(f"{path} is not tinyshakespeare (its SHA-256 differs): delete it")
        return Whole(f"dataset.root={self.root}", content.decode())


_NAMES = ("tinyshakespeare.txt", "input.txt")
_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_MD5 = "6fb458f1232090904fb40fe944165e91"
_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@dataclass(frozen=True, kw_only=True)
class PythonDocs(TextDataset):
    """The language reference that every Python carries for its help(): some 380,000 characters.

    Sections stand in several topics; each paragraph is taken once. Python's version decides what
    they say, so a run records it and the text's digest.
    """

    def source(self) -> Source:
        from lrbench.dataset.tokens import Whole

        try:
            from pydoc_data.topics import topics
        except ImportError as error:
            raise DatasetError(
                "this Python lacks its pydoc_data.topics: install it whole, or use dataset=text"
            ) from error
        parts = (part for name in sorted(topics) for part in topics[name].split("\n\n"))
        paragraphs = (part.strip("\n") for part in parts)
        return Whole("pydoc_data.topics", "\n\n".join(dict.fromkeys(paragraphs)))
