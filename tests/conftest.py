"""Real data for the tests: subsets of what lies beside the repository or is installed here."""

from __future__ import annotations

import logging
import signal
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import absl.logging
import pictures
import pytest

REPOSITORY = Path(__file__).parents[1]
CIFAR10_JPEG = REPOSITORY.parent / "shared" / "data" / "cifar10-jpeg.tar.gz"
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
IMAGES_PER_CLASS = 60


def pytest_configure(config: pytest.Config) -> None:
    """Let the processes that tests start be interrupted: in the background, a shell ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "pictures: it looks at pictures, so that they are rendered")


def pytest_collection_finish() -> None:
    pictures.install()
    # TensorBoard's logger would close the stderr of its import, pytest's, as soon as another test
    # sets logging up anew (absl.logging.PythonHandler.close).
    absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    pictures.real = item.get_closest_marker("pictures") is not None


@pytest.fixture(scope="session")
def cifar10_jpeg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder train/ and test/ with the first 60 CIFAR-10 (JPEG) images of each class."""
    if not CIFAR10_JPEG.is_file():
        pytest.skip(f"CIFAR-10 (JPEG) is not at {CIFAR10_JPEG}")
    root = tmp_path_factory.mktemp("cifar10_jpeg")
    with tarfile.open(CIFAR10_JPEG, "r|gz") as archive:  # members train/<class>/<4 digits>.jpg
        for member in archive:
            split, _, name = member.name.partition("/")
            number = Path(name).stem
            if split in ("train", "test") and number.isdecimal() and int(number) < IMAGES_PER_CLASS:
                file = archive.extractfile(member)
                assert file is not None
                (root / member.name).parent.mkdir(parents=True, exist_ok=True)
                (root / member.name).write_bytes(file.read())
    return root


@pytest.fixture(scope="session")
def fashion_mnist_root() -> Path:
    """The folder of Debian's package dataset-fashion-mnist."""
    if not (FASHION_MNIST / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"Debian's package dataset-fashion-mnist is not installed at {FASHION_MNIST}")
    return FASHION_MNIST


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the command, run inside a test, tells processes of its own from later tests."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("LRBENCH_TRUST", "")


@pytest.fixture(autouse=True)
def _no_log_of_another_test() -> Iterator[None]:
    """Take back the log file of a command that a test ran in this process: its folder may go."""
    yield
    root = logging.getLogger()
    for handler in [h for h in root.handlers if type(h) is logging.FileHandler]:
        root.removeHandler(handler)
        handler.close()
