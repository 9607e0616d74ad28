"""Dense-Sparse-Dense training in a hand-written PyTorch loop; the lines that DSD adds are marked.

An LSTM learns to add two-digit numbers written one after the other. Runs in seconds, without any data:

    python examples/plain_loop.py
"""

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from hf_dsd import DSD, Schedule


class Adder(nn.Module):
    """Reads four digits, predicts the sum of the two numbers they spell: one of 199 classes."""

    def __init__(self, hidden_size: int = 64) -> None:
        super().__init__()
        self.digits = nn.Embedding(10, 16)
        self.lstm = nn.LSTM(16, hidden_size, batch_first=True)
        self.sum = nn.Linear(hidden_size, 199)

    def forward(self, digits: torch.Tensor) -> torch.Tensor:
        return self.sum(self.lstm(self.digits(digits))[0][:, -1])


def draw_batch(size: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    digits = torch.randint(10, (size, 4))
    return digits, digits @ torch.tensor([10, 1, 10, 1])


torch.manual_seed(0)
model = Adder()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
schedule = Schedule.from_steps([400, 400, 400], sparsity=0.5, learning_rates=[5e-3, 5e-3, 5e-4])
dsd = DSD(model, optimizer, schedule)  # DSD
scheduler = LambdaLR(optimizer, dsd.learning_rate_scale)  # DSD: each phase's rate, for every parameter group

for step in range(schedule.total_steps):
    if dsd.begin_step(step):  # DSD: true at the first step of a phase
        print(f"step {step:4d}: {dsd.phase.name}, {dsd.sparsity:.0%} of {dsd.target_weights} weights pruned")
    digits, sums = draw_batch()
    loss = nn.functional.cross_entropy(model(digits), sums)
    loss.backward()
    optimizer.step()
    dsd.optimizer_step()  # DSD: pruned weights stay at zero
    scheduler.step()
    optimizer.zero_grad()
    if (step + 1) % 200 == 0:
        print(f"step {step + 1:4d}: loss {loss.item():.3f}")
dsd.finish()  # DSD: raises if a phase was never reached
