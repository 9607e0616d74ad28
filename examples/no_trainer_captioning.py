"""Trains NeuralTalk dense, sparse, dense in a loop of one's own under Accelerate; the lines that DSD adds are marked.

Without data of your own it draws scenes:

    python examples/no_trainer_captioning.py --output_dir runs/loop --phase_epochs 8 4 4 --sparsity 0.5
    accelerate launch --config_file examples/accelerate_configs/ddp.yaml examples/no_trainer_captioning.py \
        --output_dir runs/loop

With image vectors and captions in files (captions.jsonl, image_ids.json, features.safetensors): `--data_dir flickr8k`.
The state after every epoch is in output_dir; the same line with `--resume true` continues from there, in any phase.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from hf_dsd import DSD, NeuralTalkConfig, NeuralTalkForConditionalGeneration, Schedule
from hf_dsd.command_error import run_script
from hf_dsd.data import (
    DEFAULT_SPLIT_SIZES,
    CaptionCollator,
    CaptionData,
    CaptionEvaluationSet,
    CaptionTrainingSet,
    LengthGroupedSampler,
    chosen_source,
    load_captions,
    make_scenes,
)
from hf_dsd.metrics import BLEU, tokenizer_normalizer
from hf_dsd.models import build_caption_tokenizer, encode_caption
from hf_dsd.trainer.script_arguments import parse_arguments


@dataclass
class Arguments:
    """One run."""

    output_dir: str = field(metadata={"help": "Gets checkpoint-N/ and the model of every phase."})
    data_dir: str | None = field(
        default=None, metadata={"help": "captions.jsonl, image_ids.json, features.safetensors; default: drawn scenes."}
    )
    train_size: int | None = field(
        default=None,
        metadata={"help": "Images to train on: drawn from the data's, or so many scenes. Default: all, 1500."},
    )
    train_size_seed: int = field(default=0, metadata={"help": "Which ones; a smaller set is a part of a larger one."})
    min_count: int = field(default=5, metadata={"help": "Words seen less often are left out of the vocabulary."})
    hidden_size: int = field(default=256, metadata={"help": "Width of the LSTM."})
    batch_size: int = field(default=100, metadata={"help": "Captions per process and step."})
    num_beams: int = field(default=5, metadata={"help": "Of the search that writes validation captions."})
    phase_epochs: list[float] = field(default_factory=lambda: [8.0, 4.0, 4.0], metadata={"help": "D S D [S D ...]."})
    phase_learning_rates: list[float] = field(
        default_factory=lambda: [3e-3, 1e-3, 3e-4], metadata={"help": "Peak of each phase; it decays to 0 in each."}
    )
    sparsity: list[float] = field(default_factory=lambda: [0.5], metadata={"help": "One fraction per sparse phase."})
    total_limit: int = field(default=2, metadata={"help": "Checkpoints kept, the newest."})
    seed: int = field(default=0, metadata={"help": "Of the weights, the order of the data and dropout."})
    resume: bool = field(default=False, metadata={"help": "Continue from the last checkpoint in output_dir."})


@dataclass
class Progress:
    """Optimizer steps done: the clock of the schedule, which a checkpoint must hold."""

    step: int = 0

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step = state["step"]


def save_checkpoint(accelerator: Accelerator, folder: Path, total_limit: int) -> None:
    """Saves all that a resume needs, whole or not at all, and removes the oldest checkpoints beyond the limit."""
    partial_folder = folder.with_name(f".{folder.name}.partial")
    if accelerator.is_main_process:
        shutil.rmtree(partial_folder, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial_folder))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        os.replace(partial_folder, folder)
        for checkpoint in checkpoints(folder.parent)[:-total_limit]:
            shutil.rmtree(checkpoint)


def checkpoints(output_dir: Path) -> list[Path]:
    return sorted(output_dir.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


def steps_from(loader: DataLoader, accelerator: Accelerator, step: int, total: int) -> Iterator[tuple[int, dict]]:
    """Numbered batches from optimizer step `step` on, in the order that an unbroken run has."""
    while step < total:
        epoch, batches_done = divmod(step, len(loader))
        loader.set_epoch(epoch)
        rest = accelerator.skip_first_batches(loader, batches_done) if batches_done else loader
        for batch in rest:
            if step == total:
                return
            yield step, batch
            step += 1


@torch.no_grad()
def validation_bleu(accelerator: Accelerator, model: nn.Module, dataset, tokenizer, arguments: Arguments) -> float:
    """BLEU-4 of the model's captions; every process writes its share of them."""
    model.eval()
    share = range(accelerator.process_index, len(dataset), accelerator.num_processes)
    captions = []
    for start in range(0, len(share), arguments.batch_size):
        rows = share[start : start + arguments.batch_size]
        features = torch.stack([dataset[row]["image_features"] for row in rows]).to(accelerator.device)
        generated = model.generate(image_features=features, num_beams=arguments.num_beams, max_length=24)
        captions += zip(rows, tokenizer.batch_decode(generated, skip_special_tokens=True), strict=True)
    model.train()
    normalize = tokenizer_normalizer(tokenizer)
    texts = [normalize(caption) for _, caption in sorted(gather_object(captions))]
    references = [[words for text in image if (words := normalize(text))] for image in dataset.references]
    return BLEU().compute(predictions=texts, references=references)["bleu4"]


def load_data(arguments: Arguments) -> CaptionData:
    size = arguments.train_size
    if chosen_source(arguments, {}) is None:
        size = DEFAULT_SPLIT_SIZES["train"] if size is None else size
        return make_scenes({"train": size, "validation": max(size // 6, 1)}).data
    data = load_captions(arguments.data_dir)
    return data if size is None else data.with_train_size(size, arguments.train_size_seed)


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    output_dir = Path(arguments.output_dir)
    accelerator = Accelerator()
    set_seed(arguments.seed)

    data = load_data(arguments)
    captions = (caption for image in data.split("train").captions for caption in image)
    tokenizer = build_caption_tokenizer(captions, min_count=arguments.min_count)
    encode = partial(encode_caption, tokenizer)
    train_set, validation_set = CaptionTrainingSet(data, encode), CaptionEvaluationSet(data, encode)
    order = LengthGroupedSampler(train_set, arguments.batch_size * accelerator.num_processes, seed=arguments.seed)
    loader = DataLoader(train_set, arguments.batch_size, sampler=order, collate_fn=CaptionCollator())
    config = NeuralTalkConfig(
        vocab_size=len(tokenizer), image_feature_size=data.dims, hidden_size=arguments.hidden_size
    )
    model = NeuralTalkForConditionalGeneration(config)
    model.standardize_features(data.features[data.split("train").feature_rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.phase_learning_rates[0])
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

    schedule = Schedule.from_epochs(  # DSD
        arguments.phase_epochs, len(loader), arguments.sparsity, arguments.phase_learning_rates
    )
    dsd = DSD(model, optimizer, schedule)  # DSD: after prepare, which may replace the parameters
    # DSD: every phase's rate decays to 0; not prepared, because accelerate would step it once per process
    scheduler = LambdaLR(optimizer.optimizer, partial(dsd.learning_rate_scale, decays=True))
    progress = Progress()
    accelerator.register_for_checkpointing(progress, dsd, scheduler)  # DSD: its masks and phase
    if arguments.resume:
        if not checkpoints(output_dir):
            raise SystemExit(f"{output_dir} holds no checkpoint-N: leave --resume out to start from the beginning")
        accelerator.load_state(str(checkpoints(output_dir)[-1]))

    for step, batch in steps_from(loader, accelerator, progress.step, schedule.total_steps):
        if dsd.begin_step(step):  # DSD: true at the first step of a phase
            accelerator.print(f"step {step}: {dsd.phase.name}, {dsd.sparsity:.0%} of {dsd.target_weights} weights")
        loss = model(**batch).loss
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        dsd.optimizer_step()  # DSD: pruned weights stay at zero
        scheduler.step()
        optimizer.zero_grad()
        progress.step = step + 1
        if progress.step == dsd.phase.end:
            captioner = accelerator.unwrap_model(model)
            bleu4 = validation_bleu(accelerator, captioner, validation_set, tokenizer, arguments)
            accelerator.print(f"step {progress.step}: {dsd.phase.name} loss {loss.item():.3f} BLEU-4 {bleu4:.1f}")
            captioner.save_pretrained(output_dir / dsd.phase.name, is_main_process=accelerator.is_main_process)
        if progress.step % len(loader) == 0 or progress.step == schedule.total_steps:
            save_checkpoint(accelerator, output_dir / f"checkpoint-{progress.step}", arguments.total_limit)
    dsd.finish()  # DSD: raises if a phase was never reached
    accelerator.end_training()


if __name__ == "__main__":
    run_script(main)
