"""No secret in a recorded command, and none in a pickle of the arguments; what decides what a run does stays."""

import copy
import pickle

import pytest
import torch

from hf_dsd import DSDSeq2SeqTrainingArguments, DSDTrainingArguments
from hf_dsd.runs.privacy import without_secrets

# Made up, and put together so that no scanner takes this file for a leak.
HF, OPENAI, GITHUB, AWS = (
    "hf" + "_abcDEFghiJKL123",
    "sk" + "-proj-a1b2c3d4",
    "ghp" + "_16C7e42F292c69",
    "AK" + "IAIOSFODNN7EXAMPLE",
)
JWT = "ey" + "JhbGciOiJIUzI1NiJ9.ey" + "JzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"
RANDOM, HEX, BASE32 = "q7Zk2Xv9Lw4Tn8Rb1Yc6", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "JBSW3DPE6PK3PXP2"
BASE64 = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEX9AMPLEKEY2"
BLOCK = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"


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


@pytest.mark.parametrize(
    ("arguments", "secret", "written"),
    [
        # by the option's name, whatever the value
        (["--hub_token", "1", "--seed", "1"], "", ["--hub_token", "***", "--seed", "1"]),
        (["--hub-token=abc"], "abc", ["--hub-token=***"]),
        (["--hub_tok", "abc", "data.csv"], "abc", ["--hub_tok", "***", "data.csv"]),
        (["--hub_t", "abc"], "abc", ["--hub_t", "***"]),
        (["--hub_to=abc"], "abc", ["--hub_to=***"]),
        (["--push_to_hub_tok", "abc"], "abc", ["--push_to_hub_tok", "***"]),
        (["--tok", "abc"], "abc", ["--tok", "***"]),
        (["--passw", "abc"], "abc", ["--passw", "***"]),
        (["--api_k", "abc"], "abc", ["--api_k", "***"]),
        (["--api-key", "abc"], "abc", ["--api-key", "***"]),
        (["--apikey=abc"], "abc", ["--apikey=***"]),
        (["--hftoken", "abc"], "abc", ["--hftoken", "***"]),
        (["--wandbApiKey", "abc"], "abc", ["--wandbApiKey", "***"]),
        (["--auth", "abc"], "abc", ["--auth", "***"]),
        (["--use_auth_token", "abc"], "abc", ["--use_auth_token", "***"]),
        (["--credentials", "a", "b"], "", ["--credentials", "***", "***"]),
        (["--api_keys", "abc", "def", "--x", "1"], "def", ["--api_keys", "***", "***", "--x", "1"]),
        (["--token_value", "abc"], "abc", ["--token_value", "***"]),
        (["--db.password", "abc"], "abc", ["--db.password", "***"]),
        (["--client_secret=a=b"], "a=b", ["--client_secret=***"]),
        (["--passphrase", "two words"], "words", ["--passphrase", "***"]),
        (["-t", "abc"], "abc", ["-t", "***"]),
        (["-u", "me:abc"], "abc", ["-u", "***"]),
        (["HF_TOKEN=abc", "--x"], "abc", ["HF_TOKEN=***", "--x"]),
        (["WANDB_API_KEY=a b"], "a b", ["WANDB_API_KEY=***"]),
        (["env=HF_TOKEN=abc,X=1"], "abc", ["env=HF_TOKEN=***,X=1"]),
        (["--env", "HF_TOKEN=abc"], "abc", ["--env", "HF_TOKEN=***"]),
        (["--model_args", "revision=main,token=abc"], "abc", ["--model_args", "revision=main,token=***"]),
        (["--header", "Authorization: Bearer abc"], "abc", ["--header", "Authorization: ***"]),
        (["--header", "X-Api-Key: abc"], "abc", ["--header", "X-Api-Key: ***"]),
        (["--header=Cookie: a=1; b=abc"], "abc", None),
        (["Bearer", "abc"], "abc", ["Bearer", "***"]),
        (["--x", "Bearer abc"], "abc", ["--x", "Bearer ***"]),
        (["Authorization:", "Bearer", "abc"], "abc", None),
        (["https://me:abc@host.org/x"], "abc", ["https://***@host.org/x"]),
        (["--url=https://abc@host.org"], "abc", ["--url=https://***@host.org"]),
        (["git+https://x-oauth:abc@github.com/a/b"], "abc", ["git+https://***@github.com/a/b"]),
        (["postgres://u:abc@localhost:5432/db"], "abc", ["postgres://***@localhost:5432/db"]),
        (["https://host.org/x?token=abc&page=2"], "abc", ["https://host.org/x?token=***&page=2"]),
        (['{"token": "abc", "a": 1}'], "abc", ['{"token": "***", "a": 1}']),
        (['--kwargs={"a": [{"api_key": "abc"}]}'], "abc", None),
        (["--kwargs", '{"password": 1234}'], "1234", ["--kwargs", '{"password": "***"}']),
        (["--kwargs", '{"password": "abc", "password": true}'], "abc", None),
        (["--url", "https://a.blob.core.windows.net/c/x?sv=2022-11-02&sig=abc%2Fdef"], "abc", None),
        (
            ["--url", "s3://b/x?X-Amz-Signature=abcd1234&page=2"],
            "abcd",
            ["--url", "s3://b/x?X-Amz-Signature=***&page=2"],
        ),
        (["--pin", "1234"], "1234", ["--pin", "***"]),
        (["--pw=abc"], "abc", ["--pw=***"]),
        (["--creds", "abc"], "abc", ["--creds", "***"]),
        (["--session-id", "abc123"], "abc", ["--session-id", "***"]),
        (["--user", "me:abc"], "abc", ["--user", "***"]),
        (["--proxy", "me:abc@proxy:3128"], "abc", None),
        (["--launcher_args", "--hub_token abc --seed 1"], "abc", ["--launcher_args", "--hub_token *** --seed 1"]),
        (["--proxy", "http://me:abc@proxy:3128"], "abc", ["--proxy", "http://***@proxy:3128"]),
        (["--hub_token\tabc"], "abc", ["--hub_token\t***"]),
        (["--kwargs", "{'token': 'abc', 'a': 1}"], "abc", None),
        (["--kwargs", "{token: abc}"], "abc", None),
        # by the value, whatever the option is called
        (["--note", HF], HF, ["--note", "***"]),
        ([HF], HF, ["***"]),
        ([f"--run_name=x-{OPENAI}"], OPENAI, None),
        (["--a", OPENAI], OPENAI, ["--a", "***"]),
        (["--a", GITHUB], GITHUB, ["--a", "***"]),
        (["--a", AWS], AWS, ["--a", "***"]),
        (["--a", JWT], JWT, ["--a", "***"]),
        (["--a", RANDOM], RANDOM, ["--a", "***"]),
        (["--a", HEX], HEX, ["--a", "***"]),
        (["--a", BASE32], BASE32, ["--a", "***"]),
        (["--a", BASE64], "PxRfiCYEX9AMPLEKEY2", None),
        (["--a", "123e4567-e89b-12d3-a456-426614174000"], "426614174000", None),
        ([f"-t{HF}"], HF, None),
        (["--a", f"https://host.org/{HF}/x"], HF, ["--a", "https://host.org/***/x"]),
        (["--pad_token", HF], HF, ["--pad_token", "***"]),
        (["--password:abc"], "abc", ["--password:***"]),
        (["run --api-key:abc --x 1"], "abc", ["run --api-key:*** --x 1"]),
        (["--kwargs", f'{{"note": "see {HF}"}}'], HF, None),
        (["--kwargs", f'{{"{HF}": 1}}'], HF, None),
        (["--a", BLOCK, "--x"], "MIIEow", ["--a", "***", "--x"]),
        (["-----BEGIN", "PRIVATE", "KEY-----", "MIIEow", "-----END", "KEY-----"], "MIIEow", None),
    ],
)
def test_a_secret_is_not_written_down(arguments, secret, written):
    found = without_secrets(arguments)
    assert "***" in " ".join(found)
    assert not secret or secret not in " ".join(found)
    assert written is None or found == written


@pytest.mark.parametrize(
    "argument",
    [
        "--max_token_length 100",
        "--max_new_tokens 20",
        "--tokenizer_name gpt2",
        "--tokenizer_name=bert-base-uncased",
        "--pad_token <pad>",
        "--unk_token=[UNK]",
        "--word_delimiter_token |",
        "--image-token <image>",
        "--decoder_start_token_id 2",
        "--eos_token_id=50256",
        "--token_type_ids true",
        "--key_frames 3",
        "--num_key_value_heads 8",
        "--password_file secrets/p.txt",
        "--keyword_list=a --monkey 1",
        "--use_auth_token true",
        "--hub_token --seed 1",
        "--author me --pattern a.*b --path /home/me/an4 --patience 3",
        "--learning_rate 1e-3 --phase_learning_rates 2e-3 1e-3 2e-4 --sparsity 0.5 0.25 --seed 12345678901",
        '--config_overrides {"hidden_size":512,"pad_token_id":0,"bos_token":"<s>","hidden_dropout":0.1}',
        '--sparsity_overrides {"attention.self.key":0.5,".*token":0.25}',
        "--dense_modules .*attention.self.key +lm_head",
        "--model_name_or_path facebook/wav2vec2-large-xlsr-53-english",
        "--model_name_or_path Helsinki-NLP/opus-mt-en-de --model_revision main",
        f"--model_revision {HEX}",
        f"--revision={HEX}",
        "--model_name_or_path meta-llama/Meta-Llama-3.1-8B-Instruct-GGUF",
        "--model_name_or_path Qwen/Qwen2.5-0.5B-Instruct --hub_model_id me/DeepSpeech2-LibriSpeech-960h",
        "--model_type NeuralTalkForConditionalGeneration --model efficientnet_lite0.ra_in1k",
        "--output_dir runs/2024-01-01T12:00:00/seed-1/dsd --resume_from_checkpoint runs/x/checkpoint-100000",
        "--output_dir /home/me/hf_transfer/hf_datasets --name hf_dsd --task sk-learn",
        "--train_file s3://bucket/key/data.csv --url https://huggingface.co/datasets/user/name?page=2",
        "--user me --proxy proxy:3128 --dataloader_pin_memory true --launcher_args --x",
        "--host localhost:8080 -p 8080 -t 4",
        "--feature_columns 0:1280 --optim adamw_torch_fused --fsdp full_shard --bf16 true",
        "--optim_args lr=0.1,betas=0.9,eps=1e-8 --report_to none",
    ],
)
def test_what_decides_what_a_run_does_stays(argument):
    assert without_secrets(argument.split()) == argument.split()


def test_an_argument_with_spaces_stays():
    kept = ["--title", "a basic token of key importance", "--sparsity_overrides", '{"a b": 0.5, "c": [1, 2]}', ""]
    assert without_secrets(kept) == kept
