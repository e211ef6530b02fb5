"""A LightningModule and its Trainer; lines that end in "# lrbench" were added.

python scripts/examples/lightning_module.py STRATEGY SEED
"""

import sys

import pytorch_lightning as lightning
import torch
from torch.nn import functional as F

import lrbench  # lrbench
from lrbench.integrations.lightning import LrbenchCallback  # lrbench


class Bigram(lightning.LightningModule):
    """Predicts a character from the one before it."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.model = torch.nn.Sequential(torch.nn.Embedding(256, 32), torch.nn.Linear(32, 256))

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """The loss of a batch of characters and those that follow."""
        return F.cross_entropy(self.model(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        """Log the loss of a validation batch."""
        self.log("val_loss", F.cross_entropy(self.model(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimizer, and no schedule."""
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def main(strategy: str = "cosine", seed: int = 0, steps: int = 60, folder: str = "") -> None:
    """Train; the arguments count where lrbench has not started the program."""
    # fmt: off
    run = lrbench.start(  # lrbench
        folder or f"outputs/lightning/{strategy}/{seed}",  # lrbench
        strategy=strategy, seed=seed, lr=0.01, total_steps=steps,  # lrbench
    )  # lrbench
    # fmt: on
    lightning.seed_everything(run.seed, verbose=False)
    text = torch.frombuffer(bytearray(__import__("this").s.encode()), dtype=torch.uint8).long()
    pairs = torch.utils.data.TensorDataset(text[:-1], text[1:])
    train, val = torch.utils.data.random_split(pairs, [0.8, 0.2])
    trainer = lightning.Trainer(
        max_steps=run.total_steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=5,
        callbacks=[LrbenchCallback(run)],  # lrbench
    )
    shuffled = torch.utils.data.DataLoader(train, 32, shuffle=True)
    trainer.fit(Bigram(run.lr), shuffled, torch.utils.data.DataLoader(val, 32))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2])) if len(sys.argv) == 3 else main()
