"""What a training step of the captioner costs, as a ratio to the usual way to write one, in one process.

    python tests/benchmarks/bench_captioner.py [--device cuda] [--hidden 256 512] [--rounds 10]

The other is the captioner of the tutorials: image and words through `nn.LSTM` as a packed sequence, which leaves the
padding out, and one linear layer over what is packed. Both have the same sizes, optimizer and batches of 100 captions
of 4 to 26 words: drawn at random, or grouped by length as `--group_by_length` does. The table shows the median over the
rounds of `ours / packed`, contenders in turn: below 1.00 ours is the faster. CPU seconds on a CPU (other jobs may share
the machine), wall seconds elsewhere.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

sys.path.insert(0, str(Path(__file__).parents[2]))

from hf_dsd.models import NeuralTalkConfig, NeuralTalkForConditionalGeneration

VOCABULARY, FEATURES, BATCH = 2541, 1280, 100


class PackedCaptioner(nn.Module):
    """Image first, then the words, packed."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.image = nn.Linear(FEATURES, hidden)
        self.words = nn.Embedding(VOCABULARY, hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, VOCABULARY)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of captions that lie from the longest to the shortest; labels are padded with -100."""
        lengths = (labels >= 0).sum(dim=1).cpu()
        inputs = torch.cat([self.image(features)[:, None], self.words(labels[:, :-1].clamp_min(0))], dim=1)
        states = self.lstm(pack_padded_sequence(inputs, lengths, batch_first=True))[0].data
        targets = pack_padded_sequence(labels, lengths, batch_first=True).data
        return nn.functional.cross_entropy(self.head(states), targets)


def draw_batch(grouped: bool, device: str) -> dict[str, Tensor]:
    """Features and labels of captions from the longest to the shortest."""
    lengths = (torch.randn(BATCH * (20 if grouped else 1)) * 4 + 11).round().clamp(4, 26).long()
    lengths = lengths.sort(descending=True).values
    if grouped:
        first = int(torch.randint(len(lengths) - BATCH, ()))
        lengths = lengths[first : first + BATCH]
    labels = torch.randint(3, VOCABULARY, (BATCH, int(lengths[0])))
    labels[torch.arange(labels.shape[1]) >= lengths[:, None]] = -100
    return {"image_features": torch.randn(BATCH, FEATURES, device=device), "labels": labels.to(device)}


def make_step(loss: Callable[[dict[str, Tensor]], Tensor], model: nn.Module) -> Callable[[dict[str, Tensor]], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(batch: dict[str, Tensor]) -> None:
        loss(batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds(step: Callable[[dict[str, Tensor]], None], batches: list[dict[str, Tensor]], device: str) -> float:
    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    for batch in batches:
        step(batch)
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--hidden", type=int, nargs="*", default=[256, 512])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {options.device}, one thread, {options.rounds} rounds of 5 steps")
    for hidden in options.hidden:
        config = NeuralTalkConfig(
            vocab_size=VOCABULARY,
            image_feature_size=FEATURES,
            hidden_size=hidden,
            encoder_dropout=0.0,
            decoder_dropout=0.0,
        )
        model = NeuralTalkForConditionalGeneration(config).to(options.device).train()
        packed = PackedCaptioner(hidden).to(options.device)
        ours = make_step(lambda batch, model=model: model(**batch).loss, model)
        theirs = make_step(lambda batch, packed=packed: packed(batch["image_features"], batch["labels"]), packed)
        for grouped in (False, True):
            ratios, times = [], []
            for _ in range(options.rounds + 1):
                batches = [draw_batch(grouped, options.device) for _ in range(5)]
                own, other = (seconds(step, batches, options.device) for step in (ours, theirs))
                ratios.append(own / other)
                times.append(own / 5)
            low, median, high = min(ratios[1:]), statistics.median(ratios[1:]), max(ratios[1:])
            print(
                f"hidden {hidden}, {'grouped' if grouped else 'random '} batches: {min(times[1:]) * 1e3:6.0f} ms, "
                f"ours / packed {median:.2f} ({low:.2f} .. {high:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
