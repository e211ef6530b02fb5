"""Texts: how they are split, tokenised and cut into windows, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrbench.config import load
from lrbench.dataset import Data, DatasetError, TextDataset, tokens
from lrbench.dataset.arrays import IGNORED

CPU = torch.device("cpu")
LETTERS = "".join(chr(97 + i % 26) for i in range(997))


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """Makes a dataset of `text` in a file, 10 % of it for validation and 20 % for the test."""

    def make(text: str | bytes = LETTERS, **keys: Any) -> TextDataset:
        path = tmp_path / "text.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        own = {"path": str(path), "cache": str(tmp_path / "cache"), "context": 8}
        own |= {"val_fraction": 0.1, "test_fraction": 0.2}
        dataset: TextDataset = load("dataset", "text", **{**own, **keys})
        return dataset

    return make


def loaded(dataset: TextDataset) -> Data:
    return dataset.load(CPU, channels_last=False)


def targets(split: Any) -> list[int]:
    """The targets that count, and a look at whether inputs are the tokens before them."""
    found: list[int] = []
    for x, y in split.batches(5):
        counts = y != IGNORED
        assert torch.equal(x[:, 1:][counts[:, 1:]], y[:, :-1][counts[:, 1:]])
        found += y[counts].tolist()
    return found


@pytest.mark.parametrize("context", [1, 8, 300])
def test_every_token_of_validation_and_test_is_a_target_once(make: Any, context: int) -> None:
    data = loaded(make(context=context))
    everything = list(LETTERS.encode())
    assert targets(data.val) == everything[698:798]  # round(99.7) and round(199.4) characters
    assert targets(data.test) == everything[798:]
    first = next(iter(data.val.batches(1)))[0][0, 0]
    assert first == everything[697]  # known, and no target of training that follows


@pytest.mark.parametrize("order", ["random", "one_pass"])
def test_a_batch_is_a_function_of_seed_and_update(make: Any, order: str) -> None:
    data = loaded(make(order=order))
    keys: dict[str, Any] = {"seed": 3, "batch_size": 4}
    whole = list(data.train.batches(**keys, start_step=0, stop_step=50))
    late = list(data.train.batches(**keys, start_step=20, stop_step=50))
    for step in (20, 31, 49):
        for found in (late[step - 20], data.train.batch(step, **keys)):
            assert all(map(torch.equal, found, whole[step]))
    assert not torch.equal(whole[0][0], whole[1][0])
    assert not torch.equal(whole[0][0], data.train.batch(0, seed=4, batch_size=4)[0])
    share = np.array([1, 3])
    shared = data.train.batch(7, **keys, share=share)
    assert all(torch.equal(a, b[share]) for a, b in zip(shared, whole[7], strict=True))
    for x, y in whole:
        assert (x.dtype, x.shape, y.shape) == (torch.int64, (4, 8), (4, 8))
        assert torch.equal(x[:, 1:], y[:, :-1])


def test_one_pass_has_every_window_once_and_random_windows_reach_both_ends(make: Any) -> None:
    numbers = bytes(range(100))
    keys = {"val_fraction": 0.1, "test_fraction": 0.1, "context": 4}
    once = loaded(make(numbers, order="one_pass", **keys))
    steps = once.train.steps_per_epoch(19)  # 19 windows have 76 of the 79 targets of training
    (x, y), (again, _) = (once.train.batch(s, seed=0, batch_size=19) for s in (0, steps))
    assert steps == 1
    assert sorted(x.flatten().tolist()) == list(range(76))
    assert sorted(y.flatten().tolist()) == list(range(1, 77))
    assert not torch.equal(x, again)
    anywhere = loaded(make(numbers, order="random", **keys)).train
    batches = anywhere.batches(seed=0, batch_size=19, start_step=0, stop_step=100)
    starts = {start for x, _ in batches for start in x[:, 0].tolist()}
    assert starts == set(range(76))  # the last target is 79, the last token of training


def test_characters_are_those_of_the_training_part_and_one_for_all_others(make: Any) -> None:
    data = loaded(make("abcä" * 20 + "zy" * 10, tokenizer="characters"))
    assert data.examples.num_values == 5
    assert set(targets(data.test)) == {4}
    assert data.examples.bytes_per_token == pytest.approx((10 * 5 / 4 + 20) / 30, abs=0.03)
    known = loaded(make("abcä" * 25, tokenizer="characters"))
    assert known.examples.num_values == 4


def test_byte_pairs_are_learnt_from_the_training_part_and_kept(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pytest.importorskip("tokenizers")
    text = "the cat sat on the mat. " * 40 + "zzyzx " * 60
    dataset = make(text, tokenizer="bpe-270", val_fraction=0.1, test_fraction=0.1)
    assert dataset.sizes() is None  # which takes long to find out
    first = loaded(dataset)
    (folder,) = Path(dataset.cache).iterdir()
    assert dataset.sizes().train == len(first.train)
    monkeypatch.setattr(library.Tokenizer, "train_from_iterator", None)
    again = loaded(dataset)
    assert again.digest == first.digest
    assert again.record(4) == first.record(4)
    assert first.examples.bytes_per_token is not None
    held_out = targets(first.val) + targets(first.test)
    assert len(held_out) * first.examples.bytes_per_token == pytest.approx(2 * 132)
    assert max(held_out) < 256 + 20
    (folder / "tokens").write_bytes((folder / "tokens").read_bytes()[:-1] + b"\xff")
    with pytest.raises(DatasetError, match="is damaged: delete it to have it made again"):
        loaded(dataset)


@pytest.mark.parametrize("tokenizer", ["bytes", "characters"])
def test_large_texts_are_the_same_from_a_map(
    make: Any, tokenizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(chr(97 + i * i % 25) + "ß€" * (i % 7 == 0) for i in range(900))
    whole = loaded(make(text, tokenizer=tokenizer))
    monkeypatch.setattr(tokens, "MAPPED_BYTES", 100)
    monkeypatch.setattr(tokens, "PIECE_BYTES", 7)  # which cuts characters in two
    monkeypatch.setattr("lrbench.dataset.memory.HEADROOM", 0)
    mapped = loaded(make(text, tokenizer=tokenizer))
    assert (whole.placement, mapped.placement) == ("device", "mmap")
    assert mapped.digest == whole.digest
    assert targets(mapped.test) == targets(whole.test)
    keys: dict[str, Any] = {"seed": 0, "batch_size": 4, "start_step": 0, "stop_step": 20}
    for found, expected in zip(
        mapped.train.batches(**keys), whole.train.batches(**keys), strict=True
    ):
        assert all(map(torch.equal, found, expected))


def test_the_digest_tells_texts_splits_and_tokenizers_apart(make: Any) -> None:
    others: list[dict[str, Any]] = [{"text": LETTERS + "a"}, {"val_fraction": 0.2}]
    others += [{"test_fraction": 0.1}, {"tokenizer": "characters"}]
    digests = [loaded(make(**keys)).digest for keys in ({}, *others)]
    assert len(set(digests)) == 5
    assert loaded(make(context=9, order="one_pass")).digest == digests[0]


def test_a_folder_is_read_in_the_order_of_names(make: Any, tmp_path: Path) -> None:
    home = tmp_path / "texts"
    for name, text in (("b/1.txt", "second"), ("a.txt", "first "), (".git/x", "no"), ("c", "!")):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text * 20)
    data = loaded(make(path=str(home), val_fraction=0.4, test_fraction=0.4))
    read = bytes(targets(data.val) + targets(data.test)).decode()
    assert ("first " * 20 + "second" * 20 + "!" * 20).endswith(read)


def test_sizes_are_those_of_the_data(make: Any) -> None:
    for keys in ({}, {"tokenizer": "characters"}, {"context": 3}):
        data, sizes = loaded(make(**keys)), make(**keys).sizes()
        assert (sizes.train, sizes.val, sizes.test) == (
            len(data.train), len(data.val), len(data.test)
        )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "keys", "said"),
    [
        ("", {}, r"dataset\.path=.*text\.txt holds no text: name a file that does"),
        ("abc", {}, r"dataset\.val_fraction=0\.1 of 3 characters is none: raise it or give more"),
        ("a" * 11, {}, r"dataset\.context=8 needs a training part of more tokens, and this .* 8:"),
        (b"a" * 50 + b"\xff", {}, r".*text\.txt is not utf-8 at byte 50 \(invalid start byte\): w"),
        (b"\xc3", {}, r".*text\.txt is not utf-8 at byte 0 \(unexpected end of data\): write the"),
        ("a" * 99, {"encoding": "utf-16"}, r".*is not utf-16 at byte 0 \(UTF-16 stream does not "),
        ("a" * 99, {"encoding": "utf-16-le"}, r".*is not utf-16-le at byte 98 \(truncated data\)"),
        ("abab" * 99, {"tokenizer": "bpe-300"}, r".*has pairs for \d+ tokens alone: write dataset"),
    ],
)
def test_texts_that_cannot_be_used(make: Any, text: str | bytes, keys: Any, said: str) -> None:
    if "tokenizer" in keys:
        pytest.importorskip("tokenizers")
    with pytest.raises(DatasetError, match=f"^{said}"):
        loaded(make(text, **keys))


def test_what_is_not_there(make: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, said in (("none", "is not there: name a text"), ("empty", "holds no file: name a ")):
        with pytest.raises(DatasetError, match=said):
            loaded(make(path=str(tmp_path / name)))
    for folder, said in ((tmp_path, "has no tinyshakespeare.txt or input.txt: set dataset.root"),):
        with pytest.raises(DatasetError, match=said):
            loaded(load("dataset", "shakespeare", root=str(folder), download=False))
    (tmp_path / "input.txt").write_text("To be")
    with pytest.raises(DatasetError, match=r"input\.txt is not tinyshakespeare \(its SHA-256"):
        loaded(load("dataset", "shakespeare", root=str(tmp_path)))


def test_the_language_reference_of_this_python() -> None:
    dataset = load("dataset", "python_docs")
    data, text = loaded(dataset), dataset.source().text
    vocabulary, bytes_per_token = data.examples.num_values, data.examples.bytes_per_token
    assert vocabulary is not None
    assert bytes_per_token is not None
    assert 200_000 < len(text) < 1_000_000
    assert 90 < vocabulary <= len(set(text))
    paragraphs = text.split("\n\n")
    assert len(paragraphs) == len(set(paragraphs))
    record = json.loads(json.dumps(data.record(16)))
    assert record["vocabulary"] == vocabulary
    assert 1 <= bytes_per_token < 1.01


def test_shakespeares_split_is_nanogpts() -> None:
    root = next((p for p in (Path.home() / ".cache/lrbench/data",) if p.is_dir()), None)
    if root is None or not any((root / n).is_file() for n in ("tinyshakespeare.txt", "input.txt")):
        pytest.skip("tinyshakespeare is not in ~/.cache/lrbench/data")
    data = loaded(load("dataset", "shakespeare", download=False))
    assert data.examples.num_values == 65
    assert len(targets(data.val)) + len(targets(data.test)) == 1_115_394 - 1_003_854
