"""Published datasets that torchvision knows: MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100.

Files are found where torchvision puts them, or lying in the root itself as Debian puts them. None
is trusted before its MD5 sum is one of those in `publications`. torchvision is imported only to
download: importing it takes longer than reading the files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from lrbench.config.checks import require_choice
from lrbench.dataset.base import ImageDataset
from lrbench.dataset.kinds import DIGEST_CHARACTERS, DatasetError, Images, Sizes
from lrbench.dataset.publications import PUBLICATIONS


@dataclass(frozen=True, kw_only=True)
class PublishedDataset(ImageDataset):
    """One of the datasets in `publications`, with its official test set.

    Attributes:
        name: which one.
        root: folder with the files, or the place to download them to; ``~`` is the home folder.
        download: fetch what is missing, through torchvision.
    """

    name: str
    root: str
    download: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("name", self.name, PUBLICATIONS)

    def sizes(self) -> Sizes | None:
        from lrbench.dataset.split import part_size

        publication = PUBLICATIONS[self.name]
        val = part_size(publication.num_train, self.val_fraction)
        return Sizes(
            train=publication.num_train - val,
            val=val,
            test=publication.num_test,
        )

    def digest(self) -> str | None:
        """A hash of the accepted MD5 sums, which every file that is read must have."""
        sums = "".join(first for first, *_ in PUBLICATIONS[self.name].md5.values())
        return hashlib.sha256(sums.encode()).hexdigest()[:DIGEST_CHARACTERS]

    def read(self) -> Images:
        from lrbench.dataset.files import find_files
        from lrbench.dataset.formats import read_cifar, read_idx

        publication = PUBLICATIONS[self.name]
        root = Path(self.root).expanduser()
        files = find_files(root, publication)
        missing = [name for name in publication.md5 if name not in files]
        if missing:
            if not self.download:
                raise DatasetError(
                    f"dataset.root={self.root} has no {missing[0]} of {self.name}: set "
                    "dataset.root to the folder that holds it, or dataset.download=true"
                )
            from lrbench.dataset.download import download  # imports torchvision

            files |= download(root, publication, missing)
        read = read_idx if publication.archive is None else read_cifar
        return replace(read(files, publication), digest=self.digest())
