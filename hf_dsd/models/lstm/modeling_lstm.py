"""A plain recurrent language model, as char-rnn (Karpathy, 2015): embedding, LSTM, linear head.

Shape legend: B rows, T tokens of a row, E embedding width, H LSTM width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import CausalLMOutput
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple

from .configuration_lstm import LstmConfig


class LstmLayers(GradientCheckpointingLayer, nn.LSTM):
    """torch's LSTM, which a Trainer with `gradient_checkpointing` runs a second time instead of keeping its gates."""


class LstmForCausalLM(PreTrainedModel, GenerationMixin):
    """Scores the next token after every token of a text, of which it remembers an LSTM's state.

    Every row begins with an empty memory. `generate()` reads the whole text again for every new token: simple, and
    quick enough for the few hundred tokens of a sample.
    """

    config: LstmConfig
    config_class = LstmConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    input_modalities = ("text",)
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = True
    _input_embed_layer = "word_embedding"
    _is_stateful = True  # there is no cache that assisted decoding could roll back: it is refused

    def __init__(self, config: LstmConfig) -> None:
        super().__init__(config)
        self.word_embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        between = config.hidden_dropout if config.num_hidden_layers > 1 else 0.0  # torch warns where it has no place
        self.lstm = LstmLayers(
            config.embedding_size, config.hidden_size, config.num_hidden_layers, batch_first=True, dropout=between
        )
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Starts weights as torch does and biases, but the forget gates', which are 1, at 0.

        The embeddings are of standard deviation 1: with small ones the loss stays at that of single tokens for long.
        """
        bound = self.config.hidden_size**-0.5
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, nn.Embedding):
                init.normal_(parameter)
            elif parameter.dim() > 1:
                init.uniform_(parameter, -bound, bound)
            elif name.startswith("bias_ih"):  # torch's order of gates: input, forget, cell, output
                gates = torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(self.config.hidden_size)
                init.copy_(parameter, gates.to(parameter))
            else:
                init.zeros_(parameter)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> CausalLMOutput:
        """Reads texts.

        Args:
            input_ids: `(B, T)` int64.
            attention_mask: `(B, T)`, 0 on padding, wherever in a row it stands: no token's score depends on it. None
                for texts without.
            labels: `(B, T)` int64, the same tokens, -100 where nothing is to be learnt: the model compares its score at
                token t with label t + 1.
            **kwargs: `output_hidden_states`, `return_dict`, and `num_items_in_batch`: the divisor of the summed loss,
                which is the target tokens of all micro-batches of one optimizer step. Without it the loss is the mean
                over this batch's. What else transformers passes to every model is ignored.

        Returns:
            `logits` `(B, T, V)`, which mean nothing on padding; given labels, the scalar `loss` in nats per token; and
            if asked for, `hidden_states`: the embeddings `(B, T, E)` and the LSTM's output `(B, T, H)`.
        """
        embeddings = self.word_embedding(input_ids)  # (B, T, E)
        inputs = self.dropout(embeddings)
        if attention_mask is None:
            hidden = self.lstm(inputs)[0]  # (B, T, H)
        else:
            order = attention_mask.int().argsort(dim=1, descending=True, stable=True)  # (B, T), padding comes last
            hidden = _reorder(self.lstm(_reorder(inputs, order))[0], order.argsort(dim=1))
        logits = self.lm_head(self.dropout(hidden))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        wants_states = kwargs.get("output_hidden_states") or self.config.output_hidden_states
        return CausalLMOutput(loss=loss, logits=logits, hidden_states=(embeddings, hidden) if wants_states else None)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Prepares one step of `generate()`: the whole text, whichever part of it transformers would read."""
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False


def _reorder(rows: Tensor, order: Tensor) -> Tensor:
    """Puts the tokens of `rows` `(B, T, width)` into the `order` `(B, T)`, row by row."""
    return rows.take_along_dim(order.unsqueeze(-1), dim=1)
