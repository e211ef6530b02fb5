"""What a run says of itself."""

from __future__ import annotations

from importlib import metadata

import pytest
import torch

from lrbench.run.report import environment


def test_the_environment_names_every_package_that_took_part() -> None:
    pytest.importorskip("schedulefree")
    pytest.importorskip("timm")
    plain = {"optimizer": {"_target_": "lrbench.optimizer.Optimizer"}, "seed": 0}
    cpu = torch.device("cpu")
    found = environment(cpu, plain)
    for package in ("torch", "numpy", "pillow", "scikit-learn", "hydra-core", "scipy"):
        assert found[package] == metadata.version(package)
    assert not {"schedulefree", "timm"} & set(found)
    theirs = {
        "optimizer": {"algorithm": {"_target_": "schedulefree.SGDScheduleFree"}},
        "model": {"network": {"_target_": "timm.create_model"}},
        "scheduler": {"_target_": "a_module_of_the_users.Schedule"},  # belongs to no package
    }
    added = set(environment(cpu, theirs)) - set(found)
    assert added == {"schedulefree", "timm"}
    assert environment(cpu, theirs)["timm"] == metadata.version("timm")
