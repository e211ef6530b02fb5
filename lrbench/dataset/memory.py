"""Where a dataset's images are kept: on the device, on the host, or in a mapped file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Placement = Literal["device", "host", "mmap"]

HEADROOM = 0.5  # share of free memory that a dataset may take; the rest is the training's


def choose_placement(
    num_bytes: int, *, device_free: int, host_free: int, on_host: bool, mapped: bool
) -> Placement:
    """Where `num_bytes` of images go: the nearest place to the device with room for them.

    Args:
        device_free: free bytes on the training device.
        host_free: free bytes of the host's memory.
        on_host: the training device is the host's processor, so that "device" means its memory.
        mapped: the images are a mapped file; otherwise they are in the host's memory already,
            where they stay if the device has no room.
    """
    if on_host and not mapped:
        return "device"
    if num_bytes <= HEADROOM * device_free:
        return "device"
    if not mapped:
        return "host"
    return "host" if not on_host and num_bytes <= HEADROOM * host_free else "mmap"


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on `device`."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return free_host_memory()


def free_host_memory(root: Path = Path("/")) -> int:
    """Bytes that can still be allocated on the host, within the limits of its control groups.

    Reads Linux's /proc and cgroup files under `root`; without them assumes 4 GiB.
    """
    free = 4 * 2**30
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    for group, (limit_file, used_file, cache) in _control_groups(root):
        limit, used = _text(group / limit_file).strip(), _text(group / used_file).strip()
        if limit.isdecimal() and used.isdecimal():
            stat = dict(
                line.split(maxsplit=1) for line in _text(group / "memory.stat").splitlines() if line
            )
            # The kernel gives back its copies of files before it refuses memory.
            reclaimable = int(stat.get(cache, "0"))
            free = min(free, int(limit) - int(used) + reclaimable)
    return max(free, 0)


def _control_groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """This process's control groups of memory and all that they are in, whose limits hold too.

    Each with its files for the limit and the use, and the name of its reclaimable bytes. A
    container sees its own group as the uppermost, a job of SLURM is further down.
    """
    second = ("memory.max", "memory.current", "inactive_file")
    first = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    mounts = {
        "": (root / "sys/fs/cgroup", second),
        "memory": (root / "sys/fs/cgroup/memory", first),
    }
    paths = {"": "/", "memory": "/"}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for name in paths.keys() & set(controllers.split(",")):
            paths[name] = path
    for name, (mount, files) in mounts.items():
        inner = PurePosixPath(paths[name].lstrip("/"))
        for folder in (inner, *inner.parents):
            yield mount / folder, files


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
