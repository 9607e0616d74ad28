"""A token among the arguments is in no pickle of them."""

import copy
import pickle

import torch

from hf_dsd import DSDSeq2SeqTrainingArguments, DSDTrainingArguments


def test_arguments_are_pickled_without_their_token(tmp_path):
    for arguments in (DSDTrainingArguments, DSDSeq2SeqTrainingArguments):
        args = arguments(str(tmp_path), hub_token="hf_secret", use_cpu=True, report_to=[])
        torch.save(args, tmp_path / "training_args.bin")
        assert b"hf_secret" not in (tmp_path / "training_args.bin").read_bytes()
        again = pickle.loads(pickle.dumps(args))
        assert again.hub_token is None
        assert again.learning_rate == args.learning_rate
        assert args.hub_token == "hf_secret"
        assert copy.deepcopy(args).hub_token == "hf_secret"
        assert "hf_secret" not in args.to_json_string()


def test_no_token_stays_none(tmp_path):
    assert DSDTrainingArguments(str(tmp_path), use_cpu=True, report_to=[]).hub_token is None
