"""What is written down of a command line."""

import pytest

from hf_dsd.summary import without_secrets


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ("--hub_token hf_1 --seed 1", "--hub_token *** --seed 1"),
        ("--api-key=1 --password=2", "--api-key=*** --password=***"),
        ("--HF_TOKEN 1 --client_secret 2", "--HF_TOKEN *** --client_secret ***"),
        ("--hub_token --seed 1", "--hub_token --seed 1"),
        ("--tokenizer_name gpt2 --max_new_tokens 20", "--tokenizer_name gpt2 --max_new_tokens 20"),
        ("--keyword_list=a --monkey 1", "--keyword_list=a --monkey 1"),
    ],
)
def test_secrets_are_left_out_and_nothing_else(arguments, written):
    assert without_secrets(arguments.split()) == written.split()
