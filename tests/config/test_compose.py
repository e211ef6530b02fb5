"""Configs composed outside the command: beside someone else's Hydra, and as a sweep's jobs."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lrbench.config import ConfigError, load, search, sweeps
from lrbench.config.compose import change
from lrbench.run import sweep


def test_load_and_search_leave_the_hydra_of_their_caller_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("mine: 1\n")
    with initialize_config_dir(str(tmp_path), job_name="theirs", version_base="1.2"):
        before = GlobalHydra.instance().hydra
        assert load("scheduler", "plateau", patience=7).patience == 7
        with search(None) as more:
            assert compose("config", [*more, "scheduler=onecycle"]).scheduler.pct_start == "30%"
        assert GlobalHydra.instance().hydra is before
        found = compose("theirs", return_hydra_config=True)
        assert (found.mine, found.hydra.job.name) == (1, "theirs")
    assert not GlobalHydra.instance().is_initialized()


def test_load_reads_what_a_whole_composition_would(tmp_path: Path) -> None:
    with search(None):
        for choice in ("chain", "keras/cosine_decay", "linear_to_zero"):
            whole = compose("config", [f"scheduler={choice}"]).scheduler
            assert change({"scheduler": {}}, [f"scheduler={choice}"])["scheduler"] == whole
    own = tmp_path / "scheduler" / "mine.yaml"
    own.parent.mkdir()
    own.write_text("defaults: [cosine, _self_]\nmin_factor: 0.5\n")
    assert load("scheduler", "mine", config_dir=tmp_path).min_factor == 0.5
    with pytest.raises(MissingConfigException, match=r"scheduler=mine: there is no such file"):
        load("scheduler", "mine")
    with pytest.raises(ConfigError, match="is not a folder"):
        load("scheduler", "mine", config_dir=tmp_path / "none")


@pytest.fixture
def folder_of() -> Iterator[Any]:
    """Gives the folders of a sweep's jobs, or raises what Hydra's sweeper would meet."""
    with search(None):
        hydra: Any = GlobalHydra.instance().hydra

        def folders(*words: str) -> list[str]:
            master = hydra.compose_config("config", list(words), run_mode=RunMode.MULTIRUN)
            from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
            from hydra.core.override_parser.overrides_parser import OverridesParser

            params = master.hydra.sweeper.get("params") or {}
            given = [*(f"{k}={v}" for k, v in params.items()), *master.hydra.overrides.task]
            parsed = OverridesParser.create(hydra.config_loader).parse_overrides(given)
            (jobs,) = BasicSweeper.split_arguments(parsed, None)
            load_job = hydra.config_loader.load_sweep_config
            return [str(load_job(master, list(job)).hydra.sweep.subdir) for job in jobs]

        yield folders


PART = "scheduler@scheduler.parts.plateau.scheduler"


@pytest.mark.parametrize(
    ("words", "folders"),
    [
        (["scheduler=cosine,wsd", "seed=0,1"],
         ["cosine/seed=0", "cosine/seed=1", "wsd/seed=0", "wsd/seed=1"]),
        (["optimizer.lr=0.1,1e30", "model=mlp"],
         ["cosine/lr=0.1,seed=0", "cosine/lr=1e+30,seed=0"]),
        (["model=mlp,resnet8"], ["cosine/model=mlp,seed=0", "cosine/model=resnet8,seed=0"]),
        (["+optimizer.algorithm.dampening=0,1"],
         ["cosine/dampening=0,seed=0", "cosine/dampening=1,seed=0"]),
        (["scheduler=chain", f"{PART}=cosine,wsd"],
         [f"chain/{PART}=cosine,seed=0", f"chain/{PART}=wsd,seed=0"]),
        ([f"{PART}=cosine", "scheduler=chain", "seed=0,1"],
         ["chain/seed=0", "chain/seed=1"]),
        (["scheduler=multistep,step", "scheduler.cut_factor=0.2"],
         ["multistep/seed=0", "step/seed=0"]),
        (["experiment=four_way", "scheduler=wsd", "optimizer.lr=0.1,0.2", "seed=3"],
         ["wsd/lr=0.1,seed=3", "wsd/lr=0.2,seed=3"]),
        (["dataset=imagefolder", "dataset.root=/a/b,x"],
         ["cosine/root=_a_b,seed=0-7ad76cb6", "cosine/root=x,seed=0"]),
    ],
)  # fmt: skip
def test_whatever_is_swept_names_a_jobs_folder(
    folder_of: Any, words: list[str], folders: list[str]
) -> None:
    assert folder_of(*words) == folders


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=four_way", "scheduler=wsd,cosine", "seed=1,2", "hydra.sweep.dir=elsewhere"],
        [
            "seed=7,007,2.5",
            "model=mlp",
            "hydra.sweep.subdir=${hydra:job.override_dirname}-${seed}",
            "hydra.job.config.override_dirname.exclude_keys=[model]",
        ],
    ],
)
def test_jobs_that_differ_in_their_seed_are_what_hydra_composes(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though each is composed from the first one of them."""
    composed: list[list[str]] = []
    real = ConfigLoaderImpl.load_sweep_config

    def counted(self: Any, master: DictConfig, job: list[str]) -> DictConfig:
        composed.append(job)
        return real(self, master, job)

    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", counted)
    with search(None):
        hydra: Any = GlobalHydra.instance().hydra
        loader = hydra.config_loader
        master = hydra.compose_config("config", words, run_mode=RunMode.MULTIRUN)
        parsed = sweeps.overrides_of(master, loader).values()
        (jobs,) = BasicSweeper.split_arguments(list(parsed), None)
        for job in jobs:
            found = loader.load_sweep_config(master, list(job))
            expected = real(loader, master, list(job))
            sweeps.name_folder(expected, master, list(job), loader)
            raw = [OmegaConf.to_container(c, resolve=False) for c in (found, expected)]
            assert raw[0] == raw[1]
            assert OmegaConf.is_struct(found) == OmegaConf.is_struct(expected)
    plain = {tuple(w for w in job if not w.startswith("seed=")) for job in jobs}
    odd = [job for job in jobs if {"seed=007", "seed=2.5"} & {*job}]
    assert len(composed) == len(plain) + len(odd)
    assert len(pickle.dumps(loader)) < 200_000  # which joblib hands over with each job


def test_a_long_list_names_a_folder_that_can_be_made(folder_of: Any, tmp_path: Path) -> None:
    lists = ["[" + ",".join([f"{n}%"] * 99) + "]" for n in (1, 2)]
    folders = folder_of("scheduler=multistep", f"scheduler.milestones={','.join(lists)}")
    assert len(set(folders)) == 2
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)


def test_two_jobs_for_one_folder_are_refused(folder_of: Any) -> None:
    with pytest.raises(ConfigError, match="would be trained in one, as another run of this sweep"):
        folder_of("seed=0,1", "hydra.sweep.subdir=one")
    assert folder_of("seed=0,0", "optimizer.lr=0.1,1e-1") == ["cosine/lr=0.1,seed=0"] * 4


def test_a_file_where_a_jobs_folder_would_be_is_refused(folder_of: Any, tmp_path: Path) -> None:
    (tmp_path / "cosine").mkdir()
    (tmp_path / "cosine" / "seed=1").touch()
    with pytest.raises(ConfigError, match=r"cosine/seed=1 is a file, .* move it away"):
        folder_of("seed=0,1", f"hydra.sweep.dir='{tmp_path}'")


@pytest.mark.parametrize("words", [["seed=range(3,0)"], ["experiment=four_way", "seed=range(0)"]])
def test_an_empty_list_is_refused(folder_of: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"seed=range\(.*lists no value"):
        folder_of(*words)


def test_submitit_unpickles_nothing_that_lay_in_a_folder() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    found = set()
    for _ in range(2):
        with search(None):
            hydra: Any = GlobalHydra.instance().hydra
            words = ["hydra/launcher=submitit_local", "seed=0,1", "hydra.sweep.dir=s"]
            cfg = hydra.compose_config("config", words, run_mode=RunMode.MULTIRUN)
            found.add(cfg.hydra.launcher.submitit_folder)
    assert len(found) == 2
    assert all(folder.startswith("s/.submitit/") for folder in found)


def test_runs_started_in_the_same_second_find_a_free_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = []
    with search(None):
        for _ in range(3):
            cfg = compose("config", return_hydra_config=True)
            OmegaConf.set_readonly(cfg.hydra, False)
            cfg.hydra.run.dir = "outputs/${now:%Y}_x"
            Callbacks(cfg).on_run_start(cfg, config_name="config")
            names.append(Path(str(cfg.hydra.run.dir)).name[4:])
    assert names == ["_x", "_x-2", "_x-3"]


def test_equal_jobs_count_once() -> None:
    cfg = DictConfig({"hydra": {"sweeper": {"_target_": "BasicSweeper"}, "overrides": {}}})
    cfg.hydra.overrides.task = ["scheduler=cosine", "seed=0,0,1", "optimizer.lr=0.1,1e-1"]
    assert sweep.number_of_jobs(cfg) == 2
