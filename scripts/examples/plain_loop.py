"""A plain training loop of a small character model; lines that end in "# lrbench" were added.

python scripts/examples/plain_loop.py STRATEGY SEED, or
python -m lrbench -m loop=command loop.line='python scripts/examples/plain_loop.py' \
    scheduler=cosine,linear,wsd 'seed=range(3)' optimizer.lr=0.01 trainer.length='200 steps'
"""

import sys

import torch
from torch import nn
from torch.nn import functional as F

import lrbench  # lrbench


def main(strategy: str = "cosine", seed: int = 0, steps: int = 200, folder: str = "") -> None:
    """Train; the arguments count where lrbench has not started the program."""
    # fmt: off
    run = lrbench.start(  # lrbench
        folder or f"outputs/plain/{strategy}/{seed}",  # lrbench
        strategy=strategy, seed=seed, lr=0.01, total_steps=steps,  # lrbench
    )  # lrbench
    # fmt: on
    torch.manual_seed(run.seed)
    text = torch.frombuffer(bytearray(__import__("this").s.encode()), dtype=torch.uint8).long()
    train, val = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
    model = nn.Sequential(nn.Embedding(256, 32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 256))
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.lr)
    scheduler = run.scheduler(optimizer)  # lrbench
    for step in range(1, run.total_steps + 1):
        at = torch.randint(len(train) - 1, (64,))
        loss = F.cross_entropy(model(train[at]), train[at + 1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        run.log(step, train_loss=loss.item())  # lrbench
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = F.cross_entropy(model(val[:-1]), val[1:])
            run.evaluate(step, val_loss=val_loss.item())  # lrbench
    run.finish()  # lrbench


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2])) if len(sys.argv) == 3 else main()
