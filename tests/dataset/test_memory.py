"""Where images are placed, as a table; and free memory read from a made-up system."""

from pathlib import Path

import pytest

from lrbench.dataset.memory import choose_placement, free_host_memory

GB = 10**9


@pytest.mark.parametrize(
    ("size", "device_free", "host_free", "on_host", "mapped", "placement"),
    [
        (1, 80, 16, False, False, "device"),
        (40, 80, 16, False, True, "device"),  # exactly half
        (41, 80, 200, False, True, "host"),
        (41, 80, 60, False, True, "mmap"),
        (41, 80, 60, False, False, "host"),  # it is there already
        (2, 16, 16, True, True, "device"),
        (9, 16, 16, True, True, "mmap"),
        (9, 16, 16, True, False, "device"),  # it is there already
    ],
)
def test_placement(
    size: int, device_free: int, host_free: int, on_host: bool, mapped: bool, placement: str
) -> None:
    assert placement == choose_placement(
        size * GB,
        device_free=device_free * GB,
        host_free=host_free * GB,
        on_host=on_host,
        mapped=mapped,
    )


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


MEMINFO = {"proc/meminfo": "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable: 5000 kB\n"}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (MEMINFO, 5000 * 1024),
        (
            MEMINFO
            | {
                "sys/fs/cgroup/memory.max": "3000000\n",
                "sys/fs/cgroup/memory.current": "2500000\n",
                "sys/fs/cgroup/memory.stat": "anon 5\ninactive_file 400000\n",
            },
            900_000,
        ),
        (
            MEMINFO
            | {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "2000000\n",
                "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 100000\n",
            },
            1_100_000,
        ),
        (
            MEMINFO
            | {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "2500000\n"},
            5000 * 1024,
        ),
        (
            MEMINFO
            | {
                "proc/self/cgroup": "0::/slurm/job_1/step_0\n",
                "sys/fs/cgroup/slurm/job_1/step_0/memory.max": "max\n",
                "sys/fs/cgroup/slurm/job_1/step_0/memory.current": "1000\n",
                "sys/fs/cgroup/slurm/job_1/memory.max": "3000000\n",
                "sys/fs/cgroup/slurm/job_1/memory.current": "2500000\n",
                "sys/fs/cgroup/slurm/job_1/memory.stat": "inactive_file 100000\n",
            },
            600_000,
        ),
        (
            MEMINFO
            | {
                "proc/self/cgroup": "5:cpu,cpuacct:/other\n4:memory:/slurm/job_1\n0::/other\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "2000000\n",
                "sys/fs/cgroup/memory/slurm/job_1/memory.limit_in_bytes": "3000000\n",
                "sys/fs/cgroup/memory/slurm/job_1/memory.usage_in_bytes": "2000000\n",
                "sys/fs/cgroup/memory/slurm/job_1/memory.stat": "total_inactive_file 7\n",
            },
            1_000_007,
        ),
        (  # a container without a namespace of groups: told of a group that it does not see
            MEMINFO
            | {
                "proc/self/cgroup": "0::/docker/abc\n",
                "sys/fs/cgroup/memory.max": "3000000\n",
                "sys/fs/cgroup/memory.current": "2500000\n",
            },
            500_000,
        ),
        ({}, 4 * 2**30),
    ],
    ids=[
        "meminfo",
        "cgroup2",
        "cgroup1",
        "cgroup2 without limit",
        "the job's group, cgroup2",
        "the job's group, cgroup1",
        "container",
        "neither",
    ],
)
def test_free_memory(tmp_path: Path, files: dict[str, str], free: int) -> None:
    write(tmp_path, files)
    assert free_host_memory(tmp_path) == free
