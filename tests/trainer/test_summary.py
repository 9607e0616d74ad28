"""What is written down of a command line."""

import pytest

from hf_dsd.runs.folder import has_finished
from hf_dsd.runs.privacy import without_secrets


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ("--hub_token hf_1 --seed 1", "--hub_token *** --seed 1"),
        ("--api-key=1 --password=2", "--api-key=*** --password=***"),
        ("--HF_TOKEN 1 --client_secret 2", "--HF_TOKEN *** --client_secret ***"),
        ("--hub_token --seed 1", "--hub_token --seed 1"),
        ("--tokenizer_name gpt2 --max_new_tokens 20", "--tokenizer_name gpt2 --max_new_tokens 20"),
        ("--keyword_list=a --monkey 1", "--keyword_list=a --monkey 1"),
        ("--token 1 --wandb_api_key=2 --apikey 3", "--token *** --wandb_api_key=*** --apikey ***"),
        (
            "--max_token_length 100 --key_frames 3 --password_file p",
            "--max_token_length 100 --key_frames 3 --password_file p",
        ),
        (
            "--pad_token <pad> --unk_token=[UNK] --forced_bos_token a",
            "--pad_token <pad> --unk_token=[UNK] --forced_bos_token a",
        ),
        ("--word_delimiter_token | --image-token <image>", "--word_delimiter_token | --image-token <image>"),
    ],
)
def test_secrets_are_left_out_and_nothing_else(arguments, written):
    assert without_secrets(arguments.split()) == written.split()


PLANNED = [{"index": 0, "kind": "dense"}, {"index": 1, "kind": "sparse"}, {"index": 2, "kind": "dense"}]
BEGUN = ["phase-0-dense", "phase-1-sparse", "phase-2-dense"]


@pytest.mark.parametrize(
    ("schedule", "begun", "last_finished", "expected"),
    [
        (PLANNED, BEGUN, True, True),
        (PLANNED, BEGUN, False, False),
        (PLANNED, BEGUN[:2], True, False),
        (PLANNED, BEGUN[1:], True, True),  # from a trained model: a first phase of length 0 has no record
        (PLANNED, [], True, False),
        ([], BEGUN, True, False),
    ],
)
def test_a_run_has_finished_with_its_last_phase(schedule, begun, last_finished, expected):
    records = [{"name": name, "finished": name != begun[-1] or last_finished} for name in begun]
    assert has_finished(schedule, records) is expected
