"""NeuralTalk written out word by word in plain tensor operations: no nn.LSTM, no generate()."""

import torch
from torch import Tensor

from hf_dsd.models import NeuralTalkForConditionalGeneration

Beam = tuple[float, list[int], Tensor, Tensor]


def lstm_step(model: NeuralTalkForConditionalGeneration, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the LSTM for one row: `(E,)`, `(H,)`, `(H,)` -> `(H,)`, `(H,)`."""
    w = model.lstm
    gates = w.weight_ih_l0 @ x + w.bias_ih_l0 + w.weight_hh_l0 @ h + w.bias_hh_l0
    i, f, g, o = gates.chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def read_image(model: NeuralTalkForConditionalGeneration, features: Tensor) -> tuple[Tensor, Tensor]:
    """The state after the image, `(F,)` -> `(H,)`, `(H,)`."""
    h = c = torch.zeros(model.config.hidden_size)
    return lstm_step(model, model.image_encoder.weight @ features + model.image_encoder.bias, h, c)


def read_word(
    model: NeuralTalkForConditionalGeneration, word: int, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The next word's scores `(V,)` and the state after `word`."""
    h, c = lstm_step(model, model.word_embedding.weight[word], h, c)
    return model.decoder.weight @ h + model.decoder.bias, h, c


def score_words(model: NeuralTalkForConditionalGeneration, features: Tensor, words: list[int]) -> Tensor:
    """The scores `(T, V)` after each of the words."""
    h, c = read_image(model, features)
    scores = []
    for word in words:
        logits, h, c = read_word(model, word, h, c)
        scores.append(logits)
    return torch.stack(scores)


def greedy_search(model: NeuralTalkForConditionalGeneration, features: Tensor, steps: int) -> list[int]:
    """The best next word, `steps` times or until the end token; without `<s>`."""
    h, c = read_image(model, features)
    words = [model.config.bos_token_id]
    while len(words) <= steps and words[-1] != model.config.eos_token_id:
        logits, h, c = read_word(model, words[-1], h, c)
        words.append(int(logits.argmax()))
    return words[1:]


def expand(model: NeuralTalkForConditionalGeneration, beams: list[Beam]) -> list[Beam]:
    """Every one-word continuation of every beam, best first."""
    candidates: list[Beam] = []
    for score, words, h, c in beams:
        logits, next_h, next_c = read_word(model, words[-1], h, c)
        gains = logits.log_softmax(0).tolist()
        candidates += [(score + gain, [*words, word], next_h, next_c) for word, gain in enumerate(gains)]
    return sorted(candidates, key=lambda beam: -beam[0])


def beam_search(
    model: NeuralTalkForConditionalGeneration, features: Tensor, steps: int, beams: int
) -> tuple[float, list[int]]:
    """Beam search: captions that end among the best `beams` are set aside, the best `beams` others go on."""
    end = model.config.eos_token_id
    running: list[Beam] = [(0.0, [model.config.bos_token_id], *read_image(model, features))]
    finished: list[Beam] = []
    for _ in range(steps):
        candidates = expand(model, running)
        finished += [beam for beam in candidates[:beams] if beam[1][-1] == end]
        running = [beam for beam in candidates if beam[1][-1] != end][:beams]
    best = max(finished + running, key=lambda beam: beam[0])
    return best[0], best[1][1:]


def neuraltalk_beam_search(
    model: NeuralTalkForConditionalGeneration, features: Tensor, steps: int, beams: int
) -> tuple[float, list[int]]:
    """The search of NeuralTalk's own code: finished captions compete for the `beams` places and may lose theirs."""
    end = model.config.eos_token_id
    kept: list[Beam] = [(0.0, [model.config.bos_token_id], *read_image(model, features))]
    for _ in range(steps):
        finished = [beam for beam in kept if beam[1][-1] == end]
        running = [beam for beam in kept if beam[1][-1] != end]
        kept = sorted(finished + expand(model, running), key=lambda beam: -beam[0])[:beams]
    return kept[0][0], kept[0][1][1:]
