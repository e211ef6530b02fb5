"""A text as one array of tokens, split by position; kept in a file where making it takes long.

A folder of the cache is named after the text's state and the settings, and holds

    tokens     the whole text, one number a token
    meta.json  what `Tokens` says of them

Both are made in a temporary folder beside, which is renamed at the end.
"""

from __future__ import annotations

import codecs
import hashlib
import itertools
import json
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lrbench.dataset import tokenize
from lrbench.dataset.kinds import DIGEST_CHARACTERS, DatasetError
from lrbench.dataset.split import part_size

PIECE_BYTES = 2**22  # of a text, read at a time
MAPPED_BYTES = 2**26  # a text of more is kept as tokens in a file, and checked by its size alone
ENCODING = 1  # how texts become tokens; another number for another way


class Source(Protocol):
    """Where a text comes from.

    Attributes:
        key: of the config, with its value, for messages: ``dataset.path=my.txt``.
        num_bytes: how long it is, about.
    """

    @property
    def key(self) -> str: ...

    @property
    def num_bytes(self) -> int: ...

    def state(self) -> list[Any]:
        """What changes when the text does, found without reading much."""

    def pieces(self) -> Iterator[str]:
        """The text, in pieces that fit into memory."""


@dataclass(frozen=True)
class Whole:
    """A text in memory."""

    key: str
    text: str

    @property
    def num_bytes(self) -> int:
        return len(self.text)

    def state(self) -> list[Any]:
        return [hashlib.sha256(self.text.encode()).hexdigest()]

    def pieces(self) -> Iterator[str]:
        yield self.text


class Files:
    """A text file, or all those in a folder and below it, in the order of their names.

    Files whose name, or a folder's on the way, begins with a dot are left out.

    Raises:
        DatasetError: there is none.
    """

    def __init__(self, path: Path, encoding: str) -> None:
        self.key = f"dataset.path={path}"
        self._encoding = encoding
        try:
            found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
            self._files = [p for p in found if p == path or not _is_hidden(p.relative_to(path))]
            self._stats = [p.stat() for p in self._files]
        except OSError as error:
            raise DatasetError(f"{self.key} cannot be read ({error.strerror}): mend it") from error
        if not self._files:
            kind = "holds no file" if path.is_dir() else "is not there"
            raise DatasetError(f"{self.key} {kind}: name a text file, or a folder of such")
        self.num_bytes = sum(stat.st_size for stat in self._stats)

    def state(self) -> list[Any]:
        names = [str(path.absolute()) for path in self._files]
        return [
            self._encoding,
            *([n, s.st_size, s.st_mtime_ns] for n, s in zip(names, self._stats, strict=True)),
        ]

    def pieces(self) -> Iterator[str]:
        for path in self._files:
            try:
                with path.open("rb") as file:
                    yield from self._decoded(path, iter(lambda: file.read(PIECE_BYTES), b""))
            except OSError as error:
                raise DatasetError(f"{path} cannot be read ({error.strerror}): mend it") from error

    def _decoded(self, path: Path, pieces: Iterator[bytes]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._encoding)()
        read = 0
        for piece in itertools.chain(pieces, [b""]):
            waiting = len(decoder.getstate()[0])
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeError as error:  # a few of which do not tell where and why
                place = read - waiting + getattr(error, "start", 0)
                reason = getattr(error, "reason", str(error))
                raise DatasetError(
                    f"{path} is not {self._encoding} at byte {place:,} ({reason}): write the "
                    "text's own dataset.encoding, such as latin-1, or mend it"
                ) from error
            read += len(piece)
            if text:
                yield text


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """A text as tokens: the training part, then the validation part, then the test part.

    Attributes:
        array: whole numbers (N,); read-only, perhaps a mapped file.
        counts: how many tokens the three parts have.
        vocabulary: tokens are from 0 to one less.
        bytes_per_token: of the last two parts, which are measured; in UTF-8.
        tokenizer: a hash of what it has learnt.
        digest: a hash of all this.
        map: of the file, where `array` is one.
    """

    array: np.ndarray
    counts: tuple[int, int, int]
    vocabulary: int
    bytes_per_token: float
    tokenizer: str
    digest: str
    map: mmap.mmap | None = None


def read_tokens(
    source: Source, name: str, fractions: tuple[float, float], cache: Path, *, make: bool = True
) -> Tokens | None:
    """The text of `source` as tokens by the tokenizer `name`; from the cache where that is used.

    Args:
        fractions: shares of the characters that are validation and test, at the text's end.
        make: False: None where it takes long and is not in the cache.

    Raises:
        DatasetError: the text cannot be read or split, or the cache is damaged or cannot be used.
    """
    if not tokenize.is_slow(name) and source.num_bytes <= MAPPED_BYTES:
        blocks: list[np.ndarray] = []
        meta = _encode(source, name, fractions, blocks.append)
        return Tokens(array=np.concatenate(blocks), **meta)
    key = json.dumps([ENCODING, tokenize.state(name), fractions, source.state()])
    folder = cache.expanduser() / hashlib.sha256(key.encode()).hexdigest()[:32]
    try:
        if not folder.is_dir():
            if not make:
                return None
            _write(folder, source, name, fractions)
        return _open(folder)
    except OSError as error:
        raise DatasetError(
            f"dataset.cache={cache} cannot be used ({error.strerror}): choose another folder or "
            "make room"
        ) from error


def _encode(source: Source, name: str, fractions: tuple[float, float], keep: Any) -> dict[str, Any]:
    """Give `keep` the tokens, block by block; what else `Tokens` says of them."""
    length = sum(map(len, source.pieces()))
    if length == 0:
        raise DatasetError(f"{source.key} holds no text: name a file that does")
    val, test = (part_size(length, fraction) for fraction in fractions)
    for what, fraction, size in zip(("val", "test"), fractions, (val, test), strict=True):
        if size == 0:
            raise DatasetError(
                f"dataset.{what}_fraction={fraction:g} of {length} characters is none: raise it "
                "or give more text"
            )
    ends = (length - val - test, length - test, length)
    training = (text for part, text in _parts(source.pieces(), ends) if part == 0)
    tokenizer = tokenize.make(name, training)
    dtype = next(t for t in (np.uint8, np.int16, np.int32) if tokenizer.vocabulary - 1 <= _max(t))
    counts, num_bytes, largest = [0, 0, 0], [0, 0, 0], 0
    digest = hashlib.sha256()
    for part, text in _parts(source.pieces(), ends):
        tokens = tokenizer.encode(text).astype(dtype)
        largest = max(largest, int(tokens.max()))
        counts[part] += len(tokens)
        num_bytes[part] += len(text.encode())
        digest.update(tokens.data)
        keep(tokens)
    vocabulary = tokenizer.vocabulary
    if name == "characters" and largest < vocabulary - 1:
        vocabulary -= 1  # all characters are those of the training part
    digest.update(json.dumps([counts, vocabulary]).encode())
    return {
        "counts": tuple(counts),
        "vocabulary": vocabulary,
        "bytes_per_token": sum(num_bytes[1:]) / sum(counts[1:]),
        "tokenizer": _hash(tokenizer.description.encode()),
        "digest": digest.hexdigest()[:DIGEST_CHARACTERS],
    }


def _parts(pieces: Iterator[str], ends: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The `pieces`, cut where a part ends, each with its part; `ends` are in characters."""
    part = place = 0
    for piece in pieces:
        while piece:
            while place == ends[part]:
                part += 1
            text, piece = piece[: ends[part] - place], piece[ends[part] - place :]
            place += len(text)
            yield part, text


def _write(folder: Path, source: Source, name: str, fractions: tuple[float, float]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as temporary:
        made = Path(temporary, "made")
        made.mkdir()
        with (made / "tokens").open("wb") as file:
            dtypes = set()

            def keep(tokens: np.ndarray) -> None:
                dtypes.add(tokens.dtype.str)
                file.write(tokens.data)

            meta = _encode(source, name, fractions, keep)
        (made / "meta.json").write_text(json.dumps({**meta, "dtype": dtypes.pop()}))
        try:
            os.replace(made, folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise


def _open(folder: Path) -> Tokens:
    """The tokens in a `folder` of the cache, mapped; those of a small file are checked."""
    damaged = DatasetError(f"the cache {folder} is damaged: delete it to have it made again")
    try:
        meta = json.loads((folder / "meta.json").read_text())
        dtype, counts = np.dtype(meta.pop("dtype")), tuple(meta.pop("counts"))
        with (folder / "tokens").open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        found = Tokens(array=np.frombuffer(mapped, dtype), counts=counts, map=mapped, **meta)
        sound = len(found.array) == sum(counts)
        if sound and len(mapped) <= MAPPED_BYTES:
            end = json.dumps([counts, found.vocabulary]).encode()
            sound = _hash(mapped, end) == found.digest
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise damaged from error
    if not sound:
        raise damaged
    return found


def _hash(*contents: Any) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()[:DIGEST_CHARACTERS]


def _max(dtype: type[np.integer[Any]]) -> int:
    return int(np.iinfo(dtype).max)
