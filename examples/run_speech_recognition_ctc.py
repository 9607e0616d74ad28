"""Trains a CTC speech model dense, sparse, dense (paper, section 4.5), and scores every phase by greedy WER.

Without data of your own it synthesises strings of spoken digits:

    python examples/run_speech_recognition_ctc.py --output_dir runs/digits --phase_epochs 12 4 4

With a folder of recordings and transcripts (audiofolder, LibriSpeech, Kaldi, NeMo and other layouts, see
examples/README.md), the paper's iterative recipe, 50 % and then 25 %:

    accelerate launch examples/run_speech_recognition_ctc.py --data_dir an4 --output_dir runs/an4 \
        --phase_epochs 30 10 10 10 10 --sparsity 0.5 0.25 --phase_learning_rates 1e-3 5e-4 3e-4 2e-4 1e-4

or with a dataset of the Hub: `--dataset_name user/name`. `--model_type` is `deepspeech`, `deepspeech2`, or a folder or
Hub name of any CTC checkpoint with its processor, such as wav2vec 2.0's. `--dsd_control true` trains the equal-budget
dense control: the same epochs and learning rates, no masks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from transformers import AutoModelForCTC, AutoProcessor, PreTrainedModel, ProcessorMixin, set_seed

from hf_dsd import (
    DeepSpeech2Config,
    DeepSpeech2ForCTC,
    DeepSpeechConfig,
    DeepSpeechForCTC,
    DeepSpeechProcessor,
    DSDTrainer,
    DSDTrainingArguments,
)
from hf_dsd.command_error import run_script
from hf_dsd.data import (
    DEFAULT_DIGIT_SIZES,
    LengthGroupedSampler,
    SpecAugment,
    SpeechCollator,
    SpeechData,
    SpeechDataset,
    SplitArguments,
    check_characters,
    chosen_source,
    load_speech,
    load_speech_dataset,
    make_spoken_digits,
)
from hf_dsd.metrics import TEXT_NORMALIZERS, argmax_logits, ctc_metrics, transcript_scorer
from hf_dsd.models import encode_transcript, find_characters, unknown_characters
from hf_dsd.models.read_config import read_config
from hf_dsd.report import measure_run_landscape
from hf_dsd.sensitivity import measure_run_sensitivity
from hf_dsd.trainer.scoring import score_phases
from hf_dsd.trainer.script_arguments import parse_arguments, read_overrides

DEEPSPEECH = {"deepspeech": (DeepSpeechConfig, DeepSpeechForCTC), "deepspeech2": (DeepSpeech2Config, DeepSpeech2ForCTC)}


@dataclass
class ModelArguments:
    """The model; without `config_overrides` DeepSpeech and DeepSpeech 2 have the paper's sizes, far too large here."""

    model_type: str = field(
        default="deepspeech2", metadata={"help": "deepspeech, deepspeech2, or the name or folder of a CTC checkpoint."}
    )
    config_overrides: str = field(
        default="{}", metadata={"help": "Fields of the configuration as JSON, e.g. '{\"hidden_size\": 256}'."}
    )
    model_name_or_path: str | None = field(
        default=None,
        metadata={
            "aliases": ["--model_path", "--model-path"],
            "help": "Start from this trained model, e.g. a phase's.",
        },
    )
    characters: str | None = field(
        default=None,
        metadata={"help": "What a new DeepSpeech can write; by default what is in the training transcripts."},
    )
    freeze_feature_encoder: bool = field(default=False, metadata={"help": "Of a wav2vec 2.0 checkpoint."})

    @property
    def is_new(self) -> bool:
        """Whether the model has no vocabulary yet."""
        return self.model_type in DEEPSPEECH and self.model_name_or_path is None


@dataclass
class DataArguments(SplitArguments):
    """Where the speech comes from; without any, digits are synthesised."""

    data_dir: str | None = field(default=None, metadata={"help": "Folder of recordings; its layout is found."})
    dataset_name: str | None = field(default=None, metadata={"help": "A Hub dataset with audio and transcripts."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "Its configuration."})
    audio_column: str | None = field(default=None, metadata={"help": "Column of the audio; by default the layout's."})
    text_column: str | None = field(default=None, metadata={"help": "Column with the transcripts; found if it can be."})
    validation_share: float | None = field(
        default=None, metadata={"help": "For data without validation split: this share of train, e.g. 0.1, at random."}
    )
    test_share: float | None = field(default=None, metadata={"help": "The same for data without test split."})
    split_seed: int = field(default=0, metadata={"help": "Which utterances the two shares are."})
    train_size: int | None = field(
        default=None,
        metadata={"help": "Utterances to train on: drawn from the data's, or so many of digits. Default: all, 600."},
    )
    train_size_seed: int = field(default=0, metadata={"help": "Which ones; a smaller set is a part of a larger one."})
    text_normalizer: str = field(
        default="lower",
        metadata={
            "choices": list(TEXT_NORMALIZERS),
            "help": "Of all transcripts: none; lower case; basic, also without punctuation (but apostrophes).",
        },
    )
    resample: bool = field(default=False, metadata={"help": "Resample audio of another rate than the model hears."})
    skip_bad_examples: bool = field(default=False, metadata={"help": "Leave out and list what cannot be used."})
    spec_augment: bool = field(default=True, metadata={"help": "Mask time and frequency of training spectrograms."})
    precompute: bool = field(default=True, metadata={"help": "Keep all model inputs in memory."})


@dataclass
class TrainingArguments(DSDTrainingArguments):
    """DSD's arguments with the defaults of this task."""

    per_device_train_batch_size: int = 16
    per_device_eval_batch_size: int = 32
    do_train: bool = field(default=True, metadata={"help": "False only scores the phases in output_dir."})
    sensitivity: str | None = field(
        default=None,
        metadata={"help": "Train nothing, measure what pruning alone costs; options as JSON, see hf-dsd sensitivity."},
    )
    do_predict: bool = field(default=True, metadata={"help": "Score the test split; false while you tune."})
    landscape: bool = field(
        default=False, metadata={"help": "Measure the loss around the phases' models: for the report."}
    )
    eval_strategy: str = "epoch"
    logging_steps: float = 50


class SpeechTrainer(DSDTrainer):
    """Batches utterances of like length: a random batch is a third padding."""

    def _get_train_sampler(self, train_dataset=None):
        dataset = self.train_dataset if train_dataset is None else train_dataset
        batch_size = self.args.train_batch_size * self.args.world_size
        return LengthGroupedSampler(dataset, batch_size, seed=self.args.seed)


# What only sets with files of their own can have; digits are clean, and at a rate and with splits of their own.
OF_FILES = ("audio_column", "text_column", "validation_share", "test_share", "split_seed", "text_normalizer")
OF_FILES += ("resample", "skip_bad_examples")


def load_data(arguments: DataArguments, sampling_rate: int, used: list[str], required: list[str]) -> SpeechData:
    """The splits that are used; the validation split is, where there is one, also if nothing requires it."""
    source = chosen_source(arguments, {"dataset_config_name": "dataset_name"})
    size, seed = arguments.train_size, arguments.train_size_seed
    if source is None:
        chosen_source(arguments, dict.fromkeys(OF_FILES, "data_dir"))
        sizes = DEFAULT_DIGIT_SIZES if size is None else {**DEFAULT_DIGIT_SIZES, "train": size}
        return make_spoken_digits({split: sizes[split] for split in used}).data
    if arguments.text_normalizer not in TEXT_NORMALIZERS:
        raise ValueError(f"text_normalizer must be one of {list(TEXT_NORMALIZERS)}, got {arguments.text_normalizer!r}")
    shares = {"validation": arguments.validation_share, "test": arguments.test_share}  # never trained on, used or not
    shares = {split: share for split, share in shares.items() if share is not None}
    names = {split: arguments.split_names[split] for split in dict.fromkeys([*used, *shares])}
    if twice := [split for split in shares if names[split] is not None]:
        raise ValueError(f"give {twice[0]}_split or {twice[0]}_share, got both; leave one out")
    options = {
        "split_names": names,
        "required_splits": [split for split in required if split not in shares],
        "audio_column": arguments.audio_column,
        "text_column": arguments.text_column,
        "normalize": TEXT_NORMALIZERS[arguments.text_normalizer],
        "sampling_rate": sampling_rate,
        "resample": arguments.resample,
        "skip_bad_examples": arguments.skip_bad_examples,
    }
    if source == "data_dir":
        data = load_speech(arguments.data_dir, **options)
    else:
        data = load_speech_dataset(arguments.dataset_name, arguments.dataset_config_name, **options)
    if shares:
        data = data.with_held_out(shares, arguments.split_seed)
    return data if size is None else data.with_train_size(size, seed)


def splits_in_use(arguments: TrainingArguments) -> tuple[list[str], list[str]]:
    """The splits to read if they are there, and those without which nothing goes."""
    used = ["train", "validation"]
    if arguments.do_predict and arguments.sensitivity is None:
        used.append("test")
    evaluates = arguments.eval_strategy != "no" or arguments.sensitivity is not None or arguments.landscape
    return used, [split for split in used if evaluates or split != "validation"]


def load_processor(arguments: ModelArguments) -> ProcessorMixin | None:
    """A trained model's own; None for a new model, whose characters are those of the data."""
    if arguments.characters is not None and not arguments.is_new:
        name = arguments.model_name_or_path or arguments.model_type
        raise ValueError(f"characters belongs to a new model, got {arguments.characters!r} with {name}; leave it out")
    if arguments.model_type in DEEPSPEECH:
        return None if arguments.is_new else DeepSpeechProcessor.from_pretrained(arguments.model_name_or_path)
    return AutoProcessor.from_pretrained(arguments.model_type)


def build_processor(characters: str | None, data: SpeechData) -> ProcessorMixin:
    if characters is None:
        characters = find_characters(utterance.transcript for utterance in data.split("train"))
    print(f"vocabulary: {len(characters)} characters {characters!r}, the blank and the space")
    return DeepSpeechProcessor.build(characters)


def build_model(arguments: ModelArguments, processor: ProcessorMixin) -> PreTrainedModel:
    tokenizer = processor.tokenizer
    if arguments.model_type in DEEPSPEECH:
        config_class, model_class = DEEPSPEECH[arguments.model_type]
        overrides = read_overrides(arguments.config_overrides, config_class())
        if arguments.model_name_or_path is not None:
            return model_class.from_pretrained(arguments.model_name_or_path, **overrides)
        return model_class(config_class(vocab_size=len(tokenizer), **overrides))
    fields = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "ctc_loss_reduction": "mean"}
    name = arguments.model_name_or_path or arguments.model_type
    overrides = read_overrides(arguments.config_overrides, read_config(name))
    # A head of another vocabulary is made anew; transformers says so in its load report.
    model = AutoModelForCTC.from_pretrained(name, ignore_mismatched_sizes=True, **(fields | overrides))
    if arguments.freeze_feature_encoder:
        model.freeze_feature_encoder()
    return model


def build_extractor(processor: ProcessorMixin) -> Callable[..., Any]:
    """From samples and their rate to one utterance's model input, without a batch dimension."""
    extractor = processor.feature_extractor
    name = extractor.model_input_names[0]
    return lambda samples, rate: extractor(samples, sampling_rate=rate, return_tensors="pt")[name][0]


def count_output_frames(
    model: PreTrainedModel, extract: Callable[..., Any], sampling_rate: int
) -> Callable[[int], int]:
    """Frames that the model puts out for so many samples, to refuse transcripts that CTC cannot align."""

    @cache
    def count(samples: int) -> int:
        silence = np.zeros(samples, np.float32)
        return int(model._get_feat_extract_output_lengths(len(extract(silence, sampling_rate))))

    return count


def main() -> None:
    model_arguments, data_arguments, training_arguments = parse_arguments(
        ModelArguments, DataArguments, TrainingArguments
    )
    set_seed(training_arguments.seed)

    processor = load_processor(model_arguments)
    sampling_rate = (processor or DeepSpeechProcessor.build()).feature_extractor.sampling_rate
    data = load_data(data_arguments, sampling_rate, *splits_in_use(training_arguments))
    for split, utterances in data.splits.items():
        print(f"{split}: {len(utterances)} utterances, {sum(row.seconds for row in utterances) / 60:.1f} minutes")
    processor = processor or build_processor(model_arguments.characters, data)
    extractor, tokenizer = processor.feature_extractor, processor.tokenizer
    unknown = partial(unknown_characters, tokenizer)
    check_characters(data, unknown, skip_bad_examples=data_arguments.skip_bad_examples)
    model = build_model(model_arguments, processor)
    extract = build_extractor(processor)
    input_name = extractor.model_input_names[0]
    build_dataset = partial(
        SpeechDataset,
        data,
        partial(encode_transcript, tokenizer),
        extract,
        output_length=count_output_frames(model, extract, extractor.sampling_rate),
        input_name=input_name,
        precompute=data_arguments.precompute,
        seed=training_arguments.seed,
        skip_bad_examples=data_arguments.skip_bad_examples,
    )
    augment = SpecAugment() if data_arguments.spec_augment and input_name == "input_features" else None
    test_set = build_dataset(split="test") if "test" in data.splits else None

    trainer = SpeechTrainer(
        model,
        training_arguments,
        data_collator=SpeechCollator.for_processor(processor),
        train_dataset=build_dataset(split="train", augment=augment),
        eval_dataset=build_dataset(split="validation") if "validation" in data.splits else None,
        processing_class=processor,
        compute_metrics=ctc_metrics(processor),
        preprocess_logits_for_metrics=argmax_logits,
    )
    if training_arguments.sensitivity is not None:
        measure_run_sensitivity(trainer, trainer.eval_dataset, training_arguments.sensitivity)
        return
    if training_arguments.do_train:
        trainer.train(resume_from_checkpoint=training_arguments.resume_from_checkpoint)
        trainer.save_model()
        trainer.save_state()  # the losses and metrics over time, for `hf-dsd report`
    if training_arguments.landscape:
        measure_run_landscape(trainer, trainer.eval_dataset)
    if not training_arguments.do_predict:
        return
    references = [utterance.transcript for utterance in test_set.utterances]
    names = [utterance.name for utterance in test_set.utterances]
    skipped, speakers = len(test_set.skipped), test_set.speakers
    scorer = transcript_scorer(tokenizer, names, references, skipped=skipped, speakers=speakers)
    for result in score_phases(trainer, test_set, scorer):
        scores = result.scores
        print(f"{result.phase}: WER {scores['wer']:.1%} CER {scores['cer']:.1%} {scores['signature']}")


if __name__ == "__main__":
    run_script(main)
