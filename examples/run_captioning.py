"""Trains NeuralTalk, an LSTM captioner, dense, sparse, dense (paper, section 4.4), and scores every phase by BLEU.

Without data of your own it draws scenes:

    python examples/run_captioning.py --output_dir runs/scenes --phase_epochs 8 4 4 --sparsity 0.5

With image vectors and captions in files (captions.jsonl, image_ids.json, features.safetensors):

    accelerate launch examples/run_captioning.py --data_dir flickr8k --output_dir runs/flickr8k --phase_epochs 19 10 6

with pictures of your own and their captions (formats: examples/README.md), whose vectors are made once:

    python examples/run_captioning.py --image_dir Flicker8k_Dataset --captions dataset_flickr8k.json --output_dir runs/x

or with a dataset of the Hub that has `image_features` and `captions` columns: `--dataset_name user/name`.
`--dsd_control true` trains the equal-budget dense control: the same epochs and learning rates, no masks.
"""

from dataclasses import dataclass, field
from functools import partial

from transformers import set_seed

from hf_dsd import (
    DSDSeq2SeqTrainer,
    DSDSeq2SeqTrainingArguments,
    NeuralTalkConfig,
    NeuralTalkForConditionalGeneration,
    NeuralTalkProcessor,
)
from hf_dsd.command_error import run_script
from hf_dsd.data import (
    DEFAULT_SPLIT_SIZES,
    SPLIT_OPTIONS,
    CaptionCollator,
    CaptionData,
    CaptionEvaluationSet,
    CaptionTrainingSet,
    LengthGroupedSampler,
    SplitArguments,
    chosen_source,
    load_caption_dataset,
    load_captioned_pictures,
    load_captions,
    make_scenes,
)
from hf_dsd.metrics import caption_metrics, caption_scorer
from hf_dsd.models import ImageEncoder, build_caption_tokenizer, encode_caption, load_image_encoder
from hf_dsd.models.neuraltalk import EFFICIENTNET_LITE0
from hf_dsd.report import measure_run_landscape
from hf_dsd.sensitivity import measure_run_sensitivity
from hf_dsd.trainer.scoring import score_phases
from hf_dsd.trainer.script_arguments import parse_arguments


@dataclass
class ModelArguments:
    """The captioner's sizes; the defaults are the paper's."""

    hidden_size: int = field(default=256, metadata={"help": "Width of the LSTM."})
    word_embedding_size: int = field(default=256, metadata={"help": "Width of word and image encodings."})
    encoder_dropout: float = field(default=0.5, metadata={"help": "On the LSTM's inputs, image and words."})
    decoder_dropout: float = field(default=0.5, metadata={"help": "On the LSTM's outputs."})
    model_name_or_path: str | None = field(
        default=None,
        metadata={
            "aliases": ["--model_path", "--model-path"],
            "help": "Start from this trained model, e.g. a phase's.",
        },
    )


@dataclass
class DataArguments(SplitArguments):
    """Where images and captions come from; without any, scenes are drawn."""

    data_dir: str | None = field(
        default=None, metadata={"help": "captions.jsonl, image_ids.json, features.safetensors"}
    )
    dataset_name: str | None = field(default=None, metadata={"help": "A Hub dataset with image_features and captions."})
    image_dir: str | None = field(default=None, metadata={"help": "Folder of pictures; name their captions, too."})
    captions: list[str] | None = field(
        default=None, metadata={"help": "Files of captions of image_dir; their formats are in examples/README.md."}
    )
    image_encoder: str = field(
        default=EFFICIENTNET_LITE0, metadata={"help": "Makes the image vectors; a folder, or a name on the Hub."}
    )
    vectors_dir: str | None = field(
        default=None, metadata={"help": "Where image_dir's vectors are kept; default: in it, .image_vectors."}
    )
    validation_share: float | None = field(
        default=None, metadata={"help": "Part of image_dir's training pictures, e.g. 0.1, if no such split is named."}
    )
    test_share: float | None = field(default=None, metadata={"help": "The same for the test split."})
    split_seed: int = field(default=0, metadata={"help": "Which pictures the two shares are."})
    feature_columns: str | None = field(default=None, metadata={"help": "Part of the image vectors, e.g. 0:1280."})
    train_size: int | None = field(
        default=None,
        metadata={"help": "Images to train on: drawn from the data's, or so many scenes. Default: all, 1500."},
    )
    train_size_seed: int = field(default=0, metadata={"help": "Which ones; a smaller set is a part of a larger one."})
    min_count: int = field(default=5, metadata={"help": "Words seen less often are left out of the vocabulary."})


@dataclass
class TrainingArguments(DSDSeq2SeqTrainingArguments):
    """DSD's arguments with the defaults of this task."""

    predict_with_generate: bool = field(
        default=True,
        metadata={"help": "Caption at every evaluation; false evaluates the loss alone, in a third of the time."},
    )
    generation_num_beams: int | None = 5
    generation_max_length: int | None = 24
    per_device_train_batch_size: int = 100
    per_device_eval_batch_size: int = 250
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


class CaptioningTrainer(DSDSeq2SeqTrainer):
    """Batches captions of like length: a random batch of Flickr-8K is half padding."""

    def _get_train_sampler(self, train_dataset=None):
        dataset = self.train_dataset if train_dataset is None else train_dataset
        return LengthGroupedSampler(dataset, self.args.train_batch_size, seed=self.args.seed)


PICTURE_OPTIONS = ("captions", "image_encoder", "vectors_dir", "validation_share", "test_share", "split_seed")


def load_pictures(arguments: DataArguments, encoder: ImageEncoder | None, needs_test: bool) -> CaptionData:
    if not arguments.captions:
        raise ValueError("captions must name the captions of image_dir, got none; formats are in examples/README.md")
    shares = {"validation": arguments.validation_share, "test": arguments.test_share}
    return load_captioned_pictures(
        arguments.image_dir,
        arguments.captions,
        encoder or load_image_encoder(arguments.image_encoder),
        shares={split: share for split, share in shares.items() if share is not None},
        required_splits=("train", "validation", "test") if needs_test else ("train", "validation"),
        split_seed=arguments.split_seed,
        vectors_dir=arguments.vectors_dir,
    )


def load_data(arguments: DataArguments, encoder: ImageEncoder | None = None, needs_test: bool = True) -> CaptionData:
    belong = dict.fromkeys(PICTURE_OPTIONS, "image_dir") | {"feature_columns": "data_dir"}
    belong |= dict.fromkeys(SPLIT_OPTIONS, "dataset_name")  # files say their own
    source = chosen_source(arguments, belong)
    size, seed = arguments.train_size, arguments.train_size_seed
    if source is None:
        sizes = DEFAULT_SPLIT_SIZES if size is None else {**DEFAULT_SPLIT_SIZES, "train": size}
        return make_scenes(sizes).data
    if source == "image_dir":
        data = load_pictures(arguments, encoder, needs_test)
    elif source == "data_dir":
        data = load_captions(arguments.data_dir, feature_columns=arguments.feature_columns)
    else:
        data = load_caption_dataset(arguments.dataset_name, split_names=arguments.split_names)
    return data if size is None else data.with_train_size(size, seed)


def load_processor(model_name_or_path: str | None, data: CaptionData, min_count: int) -> NeuralTalkProcessor:
    """A trained model's own, whose words its weights belong to, or a new one of the training captions."""
    if model_name_or_path is not None:
        return NeuralTalkProcessor.from_pretrained(model_name_or_path)
    captions = (caption for image in data.split("train").captions for caption in image)
    return NeuralTalkProcessor(tokenizer=build_caption_tokenizer(captions, min_count=min_count))


def main() -> None:
    model_arguments, data_arguments, training_arguments = parse_arguments(
        ModelArguments, DataArguments, TrainingArguments
    )
    set_seed(training_arguments.seed)

    encoder = None
    if data_arguments.image_dir is not None:
        encoder = load_image_encoder(data_arguments.image_encoder, training_arguments.device)
    with training_arguments.main_process_first(desc="making the image vectors"):
        data = load_data(data_arguments, encoder, training_arguments.do_predict)
    processor = load_processor(model_arguments.model_name_or_path, data, data_arguments.min_count)
    tokenizer = processor.tokenizer
    encode = partial(encode_caption, tokenizer)
    train_set = CaptionTrainingSet(data, encode)
    validation_set = CaptionEvaluationSet(data, encode, split="validation")
    test_set = CaptionEvaluationSet(data, encode, split="test") if training_arguments.do_predict else None

    if model_arguments.model_name_or_path is not None:
        model = NeuralTalkForConditionalGeneration.from_pretrained(model_arguments.model_name_or_path)
    else:
        config = NeuralTalkConfig(
            vocab_size=len(tokenizer),
            image_feature_size=data.dims,
            hidden_size=model_arguments.hidden_size,
            word_embedding_size=model_arguments.word_embedding_size,
            encoder_dropout=model_arguments.encoder_dropout,
            decoder_dropout=model_arguments.decoder_dropout,
        )
        model = NeuralTalkForConditionalGeneration(config)
        model.standardize_features(data.features[data.split("train").feature_rows])
    if encoder is not None:
        encoder.attach_to(model, processor)  # each phase's model then takes pictures

    trainer = CaptioningTrainer(
        model,
        training_arguments,
        data_collator=CaptionCollator(),
        train_dataset=train_set,
        eval_dataset=validation_set,
        processing_class=processor,
        compute_metrics=caption_metrics(tokenizer, validation_set.references)
        if training_arguments.predict_with_generate
        else None,
    )
    if training_arguments.sensitivity is not None:
        measure_run_sensitivity(trainer, validation_set, training_arguments.sensitivity)
        return
    if training_arguments.do_train:
        trainer.train(resume_from_checkpoint=training_arguments.resume_from_checkpoint)
        trainer.save_model()
        trainer.save_state()  # the losses and metrics over time, for `hf-dsd report`
    if training_arguments.landscape:
        measure_run_landscape(trainer, validation_set)
    if test_set is None:
        return
    for result in score_phases(trainer, test_set, caption_scorer(tokenizer, test_set.images, test_set.references)):
        scores = " ".join(f"BLEU-{n} {result.scores[f'bleu{n}']:.1f}" for n in (1, 2, 3, 4))
        print(f"{result.phase}: {scores} {result.scores['signature']}")


if __name__ == "__main__":
    run_script(main)
