"""Hugging Face's Trainer on a tiny GPT-2; lines that end in "# lrbench" were added.

python scripts/examples/huggingface_trainer.py STRATEGY SEED
"""

import sys
import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import lrbench  # lrbench
from lrbench.integrations.huggingface import LrbenchCallback  # lrbench


def main(strategy: str = "cosine", seed: int = 0, steps: int = 60, folder: str = "") -> None:
    """Train; the arguments count where lrbench has not started the program."""
    # fmt: off
    run = lrbench.start(  # lrbench
        folder or f"outputs/trainer/{strategy}/{seed}",  # lrbench
        strategy=strategy, seed=seed, lr=0.01, total_steps=steps,  # lrbench
    )  # lrbench
    # fmt: on
    text = torch.frombuffer(bytearray(__import__("this").s.encode()), dtype=torch.uint8).long()
    windows = text[: len(text) // 17 * 17].view(-1, 17)
    data = [{"input_ids": window, "labels": window} for window in windows]
    torch.manual_seed(run.seed)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=256, n_positions=32, n_embd=32, n_layer=1, n_head=2)
    )
    arguments = TrainingArguments(
        tempfile.mkdtemp(),
        learning_rate=run.lr,
        max_steps=run.total_steps,
        per_device_train_batch_size=8,
        seed=run.seed,
        eval_strategy="steps",
        eval_steps=20,
        logging_steps=5,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=data[:40],
        eval_dataset=data[40:],
        callbacks=[LrbenchCallback(run)],  # lrbench
    )
    trainer.train()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2])) if len(sys.argv) == 3 else main()
