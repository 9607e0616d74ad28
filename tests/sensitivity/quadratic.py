"""A linear model whose loss under pruning is known in closed form."""

import torch
from torch import Tensor, nn

BASE = 10_000.0


class Quadratic(nn.Module):
    """Two linear layers side by side, with weights 1..10 and 10, 20 .. 100, signs mixed.

    It reads the unit vectors and is to give what it gives now, and sqrt(BASE) where it reads nothing: its squared error
    is BASE plus the squares of all pruned weights, exactly (all numbers are small integers).
    """

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 2, bias=False), nn.Linear(5, 2, bias=False)
        numbers = torch.tensor([3.0, -7.0, 1.0, 10.0, -4.0, 2.0, -9.0, 8.0, 6.0, -5.0]).view(2, 5)
        with torch.no_grad():
            self.a.weight.copy_(numbers)
            self.b.weight.copy_(-10 * numbers)
        self.inputs = torch.eye(5)
        self.targets = self(self.inputs).detach()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.a(x), self.b(x)], dim=1)

    @torch.no_grad()
    def squared_errors(self) -> Tensor:
        """Of each example: five unit vectors, and the input that gives nothing."""
        errors = (self(self.inputs) - self.targets).square().sum(dim=1)
        return torch.cat([errors, torch.tensor([BASE])])

    def loss(self) -> float:
        """Their sum."""
        return float(self.squared_errors().sum())


def squares(k: int, scale: int = 1) -> float:
    """Sum of the squares of scale * (1 .. k)."""
    return float(scale**2 * k * (k + 1) * (2 * k + 1) // 6)
