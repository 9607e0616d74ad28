"""`help(DSDTrainer)` and editors show the arguments of the Trainer beneath."""

from inspect import signature

from transformers import Seq2SeqTrainer, Trainer

from hf_dsd import DSDMixin, DSDSeq2SeqTrainer, DSDTrainer


def arguments(trainer_class: type) -> list[str]:
    return list(signature(trainer_class).parameters)


def test_a_trainer_shows_what_the_trainer_beneath_takes():
    assert arguments(DSDTrainer) == arguments(Trainer)
    assert arguments(DSDSeq2SeqTrainer) == arguments(Seq2SeqTrainer)
    assert arguments(DSDTrainer)[:3] == ["model", "args", "data_collator"]


def test_a_constructor_of_one_s_own_is_shown_wherever_it_stands():
    class Own(Trainer):
        def __init__(self, model, temperature=1.0, **kwargs):
            super().__init__(model, **kwargs)

    class Below(DSDMixin, Own):
        pass

    class Above(DSDTrainer):
        def __init__(self, teacher, **kwargs):
            super().__init__(**kwargs)

    class Further(Above):
        pass

    assert arguments(Below) == ["model", "temperature", "kwargs"]
    assert arguments(Above) == arguments(Further) == ["teacher", "kwargs"]
