"""What starting a run imports, as imports are most of its start-up time."""

import subprocess
import sys

UPDATE = """
import sys
from lrbench.config import load
trainer = load("trainer", "default")
import torch
from lrbench.record import hparams, recorder
from lrbench.trainer import hardware, loop
hardware.set_up(trainer, torch.device("cpu"))
for name in ("sgd", "adamw", "adam", "rmsprop"):
    model = torch.nn.Linear(2, 2)
    optimizer = load("optimizer", name).build(model)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
slow = "torch._dynamo torch._inductor torchvision sympy matplotlib pandas tensorboard.summary"
print(*(name for name in slow.split() if name in sys.modules))
"""


def test_an_eager_update_imports_no_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", UPDATE], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
