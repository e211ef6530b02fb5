"""Where a dataset's images are kept: on the device, on the host, or in a mapped file."""

from __future__ import annotations

from pathlib import Path
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
    """Bytes that can still be allocated on the host, within the limit of its control group.

    Reads Linux's /proc/meminfo and cgroup files under `root`; without them assumes 4 GiB.
    """
    free = 4 * 2**30
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    for limit_path, used_path, stat_path, cache in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ):
        group = root / "sys/fs/cgroup"
        limit, used = _text(group / limit_path).strip(), _text(group / used_path).strip()
        if limit.isdecimal() and used.isdecimal():
            stat = dict(
                line.split(maxsplit=1) for line in _text(group / stat_path).splitlines() if line
            )
            # The kernel gives back its copies of files before it refuses memory.
            reclaimable = int(stat.get(cache, "0"))
            free = min(free, int(limit) - int(used) + reclaimable)
    return max(free, 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
