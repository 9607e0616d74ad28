"""NeuralTalk (Karpathy and Fei-Fei, 2015): an LSTM that reads an image vector, then writes a caption.

Shape legend: B images, R caption rows, T words of a row, F image feature width, E word embedding width, H LSTM width,
V vocabulary. R = B unless `image_index` gives images several captions.

    step      0        1      2        3      ...
    input     image    <s>    a        dog
    output    (unused) a      dog      runs   ...
"""

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_BACKBONE_MAPPING,
    MODEL_MAPPING,
    AutoBackbone,
    AutoConfig,
    AutoModel,
    GenerationConfig,
    GenerationMixin,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.loss.loss_utils import fixed_cross_entropy
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple

from .configuration_efficientnet_lite import EfficientNetLiteConfig
from .configuration_neuraltalk import NeuralTalkConfig
from .modeling_efficientnet_lite import EfficientNetLiteModel, load_efficientnet_lite0

IGNORED_LABEL = -100


class NeuralTalkState(NamedTuple):
    """The LSTM's memory of an image and the beginning of its caption."""

    hidden: Tensor  # (1, R, H)
    cell: Tensor  # (1, R, H)
    words: Tensor  # (R, T) int64, the words read so far


@dataclass
class NeuralTalkOutput(ModelOutput):
    """What the NeuralTalk models return.

    Attributes:
        loss: Scalar, nats per target token; only with `labels`.
        logits: `(R, T, V)`; position t scores the word that follows input word t.
        last_hidden_state: `(R, T, H)`, the LSTM's output after each word; only of `NeuralTalkModel`.
        state: What the LSTM remembers after the last word; only without `labels`.
        hidden_states: The words' embeddings `(R, T, E)` and the LSTM's output `(R, T, H)`; only if asked for.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    last_hidden_state: Tensor | None = None
    state: NeuralTalkState | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class NeuralTalkLSTM(GradientCheckpointingLayer, nn.LSTM):
    """torch's LSTM, which a Trainer with `gradient_checkpointing` runs a second time instead of keeping its gates."""


class NeuralTalkPreTrainedModel(PreTrainedModel):
    """What all NeuralTalk models share: the configuration, how weights start, and what DSD leaves dense."""

    config: NeuralTalkConfig
    base_model_prefix = ""  # the vocabulary layer stands beside the body's layers, so saved names have no prefix
    # "pixel_values" would be the natural name, but generate() then drops the prompt of a model without an encoder half.
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = True
    _input_embed_layer = "word_embedding"
    # What the DSD paper leaves dense here; regexes searched in parameter names.
    dsd_dense_modules: tuple[str, ...] = (r"(^|\.)word_embedding\.", r"(^|\.)vision_encoder\.")

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Starts weights uniform in +-initializer_range (NeuralTalk's rule) and biases, but the forget gate's, at 0."""
        bound = self.config.initializer_range
        if isinstance(module, NeuralTalkModel):
            init.zeros_(module.feature_mean)
            init.ones_(module.feature_scale)
        elif isinstance(module, nn.Linear | nn.Embedding | nn.LSTM):
            for name, parameter in module.named_parameters():
                if parameter.dim() > 1:
                    init.uniform_(parameter, -bound, bound)
                elif name == "bias_ih_l0":
                    # 1 for the forget gate (torch's order: input, forget, cell, output), so that the image, read at
                    # step 0, is still there words later.
                    gates = torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(len(parameter) // 4)
                    init.copy_(parameter, gates.to(parameter))
                else:
                    init.zeros_(parameter)
        else:
            super()._init_weights(module)


class NeuralTalkModel(NeuralTalkPreTrainedModel):
    """Reads an image and the words of its caption; `NeuralTalkForConditionalGeneration` scores the next word.

    A `config.encoder_config` of no image model that `AutoModel` or `AutoBackbone` can build is a ValueError.
    """

    def __init__(self, config: NeuralTalkConfig) -> None:
        super().__init__(config)
        self.vision_encoder = _build_vision_encoder(config)
        # Buffers, so that they travel with the weights: whoever loads the model feeds it raw image vectors.
        self.register_buffer("feature_mean", torch.zeros(config.image_feature_size))
        self.register_buffer("feature_scale", torch.ones(config.image_feature_size))
        # A projection, not an encoder, but saved weights, masks and summaries of runs know it by this name.
        self.image_encoder = nn.Linear(config.image_feature_size, config.word_embedding_size)
        self.word_embedding = nn.Embedding(config.vocab_size, config.word_embedding_size)
        self.lstm = NeuralTalkLSTM(config.word_embedding_size, config.hidden_size, batch_first=True)
        self.encoder_dropout = nn.Dropout(config.encoder_dropout)
        self._add_head()
        self.freeze_vision_encoder()
        self.post_init()

    def _add_head(self) -> None:
        """Adds what a model with a head has beyond the body, so that `post_init` starts all weights in one pass."""

    def freeze_vision_encoder(self) -> None:
        """Keeps the image encoder, if there is one, from being trained; the model does so whenever it gets one."""
        if self.vision_encoder is not None:
            self.vision_encoder.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "NeuralTalkModel":
        """Sets training or evaluation mode; the encoder stays in evaluation mode, for the sake of its batch norms."""
        super().train(mode)
        if self.vision_encoder is not None:
            self.vision_encoder.eval()
        return self

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Loads a model as `PreTrainedModel.from_pretrained` does, and freezes its encoder again."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.freeze_vision_encoder()  # transformers makes every loaded parameter require a gradient
        return loaded

    @classmethod
    def from_encoder(cls, encoder: PreTrainedModel, **config_fields: Any) -> "NeuralTalkModel":
        """Builds an untrained captioner around a trained image encoder, which it copies and freezes.

        Args:
            encoder: A headless image model, e.g. `AutoModel.from_pretrained("microsoft/resnet-50")`.
            **config_fields: The fields of `NeuralTalkConfig`, except `encoder_config` and `image_feature_size`.
        """
        model = cls(NeuralTalkConfig(image_feature_size=_feature_width(encoder), **config_fields))
        model.set_vision_encoder(encoder)
        return model

    def set_vision_encoder(self, encoder: PreTrainedModel) -> None:
        """Gives a captioner the headless image model whose vectors it was trained on, which it copies and freezes.

        Raises:
            ValueError: If the encoder's vectors are not `config.image_feature_size` wide.
        """
        width = _feature_width(encoder)
        if width != self.config.image_feature_size:
            raise ValueError(
                f"encoder must make vectors of image_feature_size={self.config.image_feature_size}, got {width}; take "
                "the one that made the vectors the model was trained on"
            )
        self.config.encoder_config, self.config.encoder_package = encoder.config.to_dict(), None
        self.vision_encoder = copy.deepcopy(encoder).to(device=self.device)
        self.freeze_vision_encoder()

    @torch.no_grad()
    def encode_images(self, pixel_values: Tensor) -> Tensor:
        """Turns pixels `(B, channels, height, width)`, prepared as the frozen encoder expects, into vectors `(B, F)`.

        They are the encoder's pooled output, or the spatial mean of its last feature map.

        Raises:
            ValueError: If the model has no encoder, or its width is not `config.image_feature_size`.
            ImportError: If the package that holds its encoder is not installed.
        """
        encoder = self._packaged_encoder() if self.vision_encoder is None else self.vision_encoder
        features = pool_features(encoder(pixel_values=pixel_values.to(encoder.dtype)))
        if features.shape[-1] != self.config.image_feature_size:
            raise ValueError(
                f"image_feature_size must be the encoder's output width {features.shape[-1]}, "
                f"got {self.config.image_feature_size}; set it in NeuralTalkConfig"
            )
        return features

    def _packaged_encoder(self) -> PreTrainedModel:
        """The encoder that an installed package holds: loaded for the first picture, no part of the model's weights."""
        if self.config.encoder_package is None:
            raise ValueError(
                "pixel_values needs config.encoder_config, got None; pass image_features, or build the config with "
                "encoder_config=<image model config>.to_dict()"
            )
        if "_packaged" not in self.__dict__:
            # Past nn.Module, which would make it a submodule, saved with the model and moved with it.
            self.__dict__["_packaged"] = load_efficientnet_lite0().requires_grad_(False)
        packaged: PreTrainedModel = self.__dict__["_packaged"]
        return packaged.to(device=self.device, dtype=self.dtype)

    @torch.no_grad()
    def standardize_features(self, features: Tensor) -> None:
        """Makes the model read image vectors as `(features - mean) / standard deviation`, per dimension.

        Call it once before training, with the vectors `(images, F)` of at least 2 training images; another shape is a
        ValueError. Average-pooled convolutional features are positive and of very different sizes; standardised, the
        image projection learns several times faster.
        """
        if features.dim() != 2 or len(features) < 2 or features.shape[1] != self.config.image_feature_size:
            raise ValueError(
                f"features must be (at least 2 images, image_feature_size={self.config.image_feature_size}), got "
                f"{tuple(features.shape)}; pass the training images' vectors"
            )
        scale = features.float().std(dim=0)
        self.feature_mean.copy_(features.float().mean(dim=0))
        self.feature_scale.copy_(torch.where(scale > 0, scale, 1.0))  # a constant dimension carries nothing to scale

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        image_features: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_index: Tensor | None = None,
        state: NeuralTalkState | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> NeuralTalkOutput:
        """Reads the image, unless `state` says that it has been read, and then the words `(R, T)`.

        The other arguments, and what is refused, are those of `NeuralTalkForConditionalGeneration`.
        """
        embeddings = self.word_embedding(input_ids)  # (R, T, E)
        if state is None:
            features = self._image_vectors(image_features, pixel_values)  # (B, F)
            features = (features - self.feature_mean) / self.feature_scale
            image = _match_rows(self.image_encoder(features), len(input_ids), image_index)  # (R, E)
            inputs = torch.cat([image.unsqueeze(1), embeddings], dim=1)  # (R, 1 + T, E)
            hidden, (last_hidden, cell) = self.lstm(self.encoder_dropout(inputs), None)
            hidden, words = hidden[:, 1:], input_ids  # (R, T, H)
        else:
            memory = (state.hidden, state.cell)
            hidden, (last_hidden, cell) = self.lstm(self.encoder_dropout(embeddings), memory)  # (R, T, H)
            words = torch.cat([state.words, input_ids], dim=1)
        wants_states = kwargs.get("output_hidden_states") or self.config.output_hidden_states
        return NeuralTalkOutput(
            last_hidden_state=hidden,
            state=NeuralTalkState(last_hidden, cell, words),
            hidden_states=(embeddings, hidden) if wants_states else None,
        )

    def _image_vectors(self, image_features: Tensor | None, pixel_values: Tensor | None) -> Tensor:
        """Returns the image vectors `(B, F)` in the model's own dtype."""
        if image_features is not None and pixel_values is not None:
            raise ValueError("only one of image_features and pixel_values can be given, got both; drop one")
        if pixel_values is not None:
            features = self.encode_images(pixel_values)
        elif image_features is not None:
            features = image_features
        else:
            raise ValueError("image_features or pixel_values must be given, got neither; every caption needs an image")
        expected = self.config.image_feature_size
        if features.dim() != 2 or features.shape[1] != expected:
            raise ValueError(
                f"image_features must have shape (images, image_feature_size={expected}), got {tuple(features.shape)}; "
                "set image_feature_size in NeuralTalkConfig"
            )
        return features.to(self.image_encoder.weight.dtype)


class NeuralTalkForConditionalGeneration(NeuralTalkModel, GenerationMixin):
    """Writes captions for images given as vectors, or as pixels through a frozen encoder.

    Feed it `image_features` or `pixel_values` with `labels` to train, and `generate()` to caption. `generate()` is
    NeuralTalk's beam search unless told otherwise: 5 beams, at most 20 tokens, the sum of log-probabilities as score.
    Pass `num_beams=1` for greedy search, with `do_sample=True` for sampling. (In NeuralTalk's own code unfinished
    captions can push a finished one out of the beam; here they cannot. On Flickr-8K the two give the same captions.)
    """

    # A recurrent state cannot be rolled back: this refuses assisted decoding, which would read every caption anew.
    _is_stateful = True

    def __init__(self, config: NeuralTalkConfig) -> None:
        super().__init__(config)
        # Labels are aligned with the logits. From the class name transformers derives a loss type that shifts them, and
        # the Trainer would leave every row's first target out of `num_items_in_batch`.
        self.loss_type = None
        self.generation_config = GenerationConfig(
            num_beams=5,
            length_penalty=0.0,
            early_stopping="never",
            max_length=21,
            bos_token_id=config.bos_token_id,
            eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
        )

    def _add_head(self) -> None:
        self.decoder = nn.Linear(self.config.hidden_size, self.config.vocab_size)
        self.decoder_dropout = nn.Dropout(self.config.decoder_dropout)

    def get_output_embeddings(self) -> nn.Linear:
        """Returns the vocabulary layer."""
        return self.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replaces the vocabulary layer (used by `resize_token_embeddings`)."""
        self.decoder = new_embeddings

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        image_features: Tensor | None = None,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        image_index: Tensor | None = None,
        state: NeuralTalkState | None = None,
        use_cache: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> NeuralTalkOutput:
        """Scores the next word after every input word.

        Args:
            input_ids: `(R, T)` int64, first word `<s>`. Built from `labels` when left out.
            image_features: `(B, F)` image vectors, any float type. Read only when `state` is None.
            pixel_values: `(B, channels, height, width)` instead of `image_features`, for the frozen encoder.
            labels: `(R, T)` int64 targets aligned with the logits: the words, `</s>`, then -100 as padding; no `<s>`.
            image_index: `(R,)` int64, the image row of each label row; None means that row i describes image i. Read
                only with `labels`.
            state: What the LSTM remembers of the image and the words already read.
            use_cache: False leaves the state out of the output.
            **kwargs: `output_hidden_states`, `return_dict`, and `num_items_in_batch`: the divisor of the summed loss,
                which is the target tokens of all micro-batches of one optimizer step. Without it the loss is the mean
                over this batch's target tokens. What else transformers passes to every model is ignored.

        Returns:
            Logits `(R, T, V)` with the loss (given labels) or the state (otherwise). Logits where the label is -100
            mean nothing: on the CPU they are not computed and read 0.

        Raises:
            ValueError: If there are neither words nor labels or their shapes differ, no image for a new caption, both
                kinds of image, image vectors of another width, or not one image per row.
        """
        words = self._input_words(input_ids, labels)
        index = None if labels is None else image_index
        body = super().forward(words, image_features, pixel_values, index, state, **{**kwargs, "return_dict": True})
        hidden = self.decoder_dropout(body.last_hidden_state)
        if labels is None:
            kept = None if use_cache is False else body.state
            return NeuralTalkOutput(logits=self.decoder(hidden), state=kept, hidden_states=body.hidden_states)
        loss, logits = self._score_targets(hidden, labels, kwargs.get("num_items_in_batch"))
        return NeuralTalkOutput(loss=loss, logits=logits, hidden_states=body.hidden_states)

    def generate(self, inputs: Tensor | None = None, generation_config: Any = None, **kwargs: Any) -> Any:
        """Writes one caption per image row; see `GenerationMixin.generate` for the decoding options.

        Args:
            inputs: `(B, T)` int64 prompt starting with `<s>`; None starts from `<s>` alone. Prompts of different
                lengths are a ValueError: an LSTM would read their padding.
            generation_config: A `GenerationConfig` to use in place of the model's own.
            **kwargs: `image_features` or `pixel_values` as in `forward`, and the decoding options. `labels` and
                `image_index` are ignored: an evaluation batch can be passed whole.

        Returns:
            `(B, length)` int64 token ids from `<s>` on, rows padded with `pad_token_id`; or the output object that
            `return_dict_in_generate=True` asks for.
        """
        mask = kwargs.pop("attention_mask", None)
        if mask is not None and not bool(mask.all()):
            raise ValueError(
                "attention_mask must be all ones, got zeros: an LSTM would read the padding of a prompt; "
                "generate prompts of different lengths one by one"
            )
        # Once per image: inside the search, pixels would pass through the encoder once per beam.
        features = self._image_vectors(kwargs.pop("image_features", None), kwargs.pop("pixel_values", None))
        # Left to itself, generate() would take the batch size from any tensor, such as labels with five rows per image.
        if inputs is None and kwargs.get("input_ids") is None:
            inputs = torch.full((len(features), 1), self.config.bos_token_id, device=features.device)
            kwargs.pop("input_ids", None)
        return super().generate(inputs, generation_config, image_features=features, **kwargs)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, next_sequence_length: int | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Prepares one step of `generate()`: the last word and the state, or the whole caption where there is none."""
        state: NeuralTalkState | None = kwargs.pop("state", None)
        # Which outputs come back as inputs, and in the beams' new order, follows lists inside transformers that change
        # from version to version. A state that has not read just these words is dropped, and the image read again:
        # that would be slow, but never another caption.
        if state is not None and not torch.equal(state.words, input_ids[:, :-1]):
            state = None
        length = None if state is None else 1
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids, next_sequence_length=length, state=state, **kwargs
        )
        return inputs

    def _update_model_kwargs_for_generation(
        self, outputs: ModelOutput, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        updated: dict[str, Any] = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **kwargs)
        # Since 5.24 transformers itself carries only what is called `cache`.
        return updated | {"state": outputs["state"]} if "state" in outputs else updated

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        # The cache is the LSTM state, which forward returns; generate() must not make a key-value cache of its own.
        return False

    def _reorder_cache(self, state: NeuralTalkState, beam_idx: Tensor) -> NeuralTalkState:
        hidden, cell, words = state
        return NeuralTalkState(hidden.index_select(1, beam_idx), cell.index_select(1, beam_idx), words[beam_idx])

    def _input_words(self, input_ids: Tensor | None, labels: Tensor | None) -> Tensor:
        """Returns the words to read `(R, T)`: those given, or `<s>` and the labels moved one place to the right."""
        if input_ids is None:
            if labels is None:
                raise ValueError("input_ids or labels must be given, got neither; pass labels, or call generate()")
            first = labels.new_full((len(labels), 1), self.config.bos_token_id)
            words = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED_LABEL, self.config.pad_token_id)
            return torch.cat([first, words], dim=1)  # (R, T)
        if labels is not None and input_ids.shape != labels.shape:
            raise ValueError(
                f"input_ids must have the shape of labels {tuple(labels.shape)}, got {tuple(input_ids.shape)}; "
                "leave input_ids out: they are built from labels"
            )
        return input_ids

    def _score_targets(
        self, hidden: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the loss and the logits `(R, T, V)` of the target words."""
        # Half of a batch of captions is padding and the vocabulary layer is most of a step: skipping the padding saves
        # a third of the step's time on a CPU. On an accelerator, counting the targets would stall it.
        if labels.device.type == "cpu" and not torch.compiler.is_compiling():
            kept = labels != IGNORED_LABEL
            scores, targets = self.decoder(hidden[kept]), labels[kept]  # (N, V), (N,)
            logits = scores.new_zeros(*labels.shape, scores.shape[-1])
            logits[kept] = scores
        else:
            logits = self.decoder(hidden)
            scores, targets = logits.flatten(0, 1), labels.flatten()  # (R * T, V), (R * T,)
        loss: Tensor = fixed_cross_entropy(scores.float(), targets, num_items_in_batch, ignore_index=IGNORED_LABEL)
        return loss, logits


def _build_vision_encoder(config: NeuralTalkConfig) -> PreTrainedModel | None:
    """Builds the frozen image encoder that `config.encoder_config` describes, if any."""
    if config.encoder_config is None:
        return None
    fields = config.encoder_config
    if fields["model_type"] == EfficientNetLiteConfig.model_type:
        # By its class: whoever loads the model with its code has nothing registered with the Auto classes.
        return EfficientNetLiteModel(EfficientNetLiteConfig.from_dict(fields))
    encoder_config = AutoConfig.for_model(**fields)
    for factory, mapping in ((AutoModel, MODEL_MAPPING), (AutoBackbone, MODEL_FOR_BACKBONE_MAPPING)):
        if type(encoder_config) in mapping and not isinstance(encoder_config, NeuralTalkConfig):
            encoder: PreTrainedModel = factory.from_config(encoder_config)
            return encoder
    raise ValueError(
        f"encoder_config must be of a type AutoModel or AutoBackbone knows, got {encoder_config.model_type!r}; "
        "register its class, or extract the features beforehand and pass image_features"
    )


def _feature_width(encoder: PreTrainedModel) -> int:
    """Finds the width of an encoder's image vectors by showing it a blank picture."""
    of_timm = (getattr(encoder.config, "pretrained_cfg", None) or {}).get("input_size", (3, 224, 224))
    size, channels = getattr(encoder.config, "image_size", of_timm[1:]), getattr(encoder.config, "num_channels", 3)
    height, width = (size, size) if isinstance(size, int) else size
    blank = torch.zeros(1, channels, height, width, dtype=encoder.dtype, device=encoder.device)
    with torch.no_grad():
        # A copy, because batch norms in training mode would take the blank image into their statistics.
        return pool_features(copy.deepcopy(encoder).eval()(pixel_values=blank)).shape[1]


def pool_features(output: Any) -> Tensor:
    """Reduces an encoder's output to one vector per image: `(B, F)`."""
    pooled: Tensor | None = output.get("pooler_output")
    if pooled is not None:
        return pooled.flatten(1)  # (B, F, 1, 1) for convnets -> (B, F)
    maps = output.get("feature_maps")
    last: Tensor = maps[-1] if maps else output.last_hidden_state
    # (B, tokens, F) or (B, F, h, w) -> (B, F)
    return last.mean(dim=1) if last.dim() == 3 else last.flatten(2).mean(dim=2)


def _match_rows(image: Tensor, rows: int, image_index: Tensor | None) -> Tensor:
    """Gives every caption row its image encoding: `(B, E)` -> `(R, E)`."""
    if image_index is not None:
        image = image.index_select(0, image_index)
    if len(image) != rows:
        field = "image_features" if image_index is None else "image_index"
        raise ValueError(
            f"{field} must have one row per caption row ({rows}), got {len(image)}; "
            "image_index says which image each row of labels describes"
        )
    return image
