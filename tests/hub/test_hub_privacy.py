"""What is cut from JSON files, and what is left alone."""

import json

import pytest

from hf_dsd.hub.privacy import check_public, clean_json
from hf_dsd.runs.privacy import without_paths


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("/home/me/data/flickr8k", "flickr8k"),
        ("--output_dir=/home/me/out", "--output_dir=out"),
        ("C:\\Users\\me\\out", "out"),
        ("user/model", "user/model"),
        ("runs/out", "runs/out"),
        ("https://arxiv.org/abs/1607.04381", "https://arxiv.org/abs/1607.04381"),
        ("/", "/"),
        ("//", "//"),
        ("</s>", "</s>"),
        ("|", "|"),
        ("--learning_rate", "--learning_rate"),
        ("a/b ratio of 1/2", "a/b ratio of 1/2"),
        ("--train_files=/data/a.csv,/data/b.csv", "--train_files=a.csv,b.csv"),
        ("PYTHONPATH=/home/me/a:/home/me/b", "PYTHONPATH=a:b"),
        ("--x=/a/b:/c/d", "--x=b:d"),
        ("file:///mnt/clinic/patients", "file://patients"),
        ("nas:/export/secret/x", "nas:x"),
        ("gcc -I/opt/secret/inc", "gcc -Iinc"),
        ("C:/Users/alice/x", "x"),
        (r"\\srv\secret\x", "x"),
        ("run.py --data_dir '/home/me/My Data/an4' --x 1", "run.py --data_dir 'an4' --x 1"),
        ("s3://bucket/key and hf://datasets/a/b", "s3://bucket/key and hf://datasets/a/b"),
    ],
)
def test_absolute_paths_are_cut_to_their_last_name(text, public):
    assert without_paths({"a": [text, 1, None], "b": text}) == {"a": [public, 1, None], "b": public}


def test_an_argument_that_is_a_path_may_hold_spaces():
    arguments = ["/home/me/My Data/an4", "--data_dir=/home/me/My Data/an4", "see /a/b for it"]
    assert without_paths(arguments) == ["an4", "--data_dir=an4", "see b for it"]


def test_keys_are_kept():
    assert without_paths({"/home/me": 1.5}) == {"/home/me": 1.5}


def test_a_file_without_paths_keeps_its_bytes_and_vocabularies_are_left_alone(tmp_path):
    odd = '{"b": 1,\n      "a": "x/y"}'
    (tmp_path / "config.json").write_text(odd)
    (tmp_path / "vocab.json").write_text('{"/usr/lib": 3}')
    (tmp_path / "results.json").write_text('{"run": "/home/me/out"}')
    clean_json(tmp_path)
    assert (tmp_path / "config.json").read_text() == odd
    assert (tmp_path / "vocab.json").read_text() == '{"/usr/lib": 3}'
    assert json.loads((tmp_path / "results.json").read_text()) == {"run": "out"}


def test_the_words_of_a_vocabulary_are_no_folders_but_may_be_tokens(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"/root": 3}')
    check_public(tmp_path, ["mysecret"], ["/root"])
    (tmp_path / "tokenizer.json").write_text('{"mysecret": 3}')
    with pytest.raises(ValueError, match=r"^tokenizer\.json holds a token"):
        check_public(tmp_path, ["mysecret"], ["/root"])


@pytest.mark.parametrize("content", ["token: hf_" + "a1" * 17, "/home/me/run/phase-1", "mysecret"])
def test_a_secret_is_found_wherever_it_is_and_not_told(tmp_path, content):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "notes.txt").write_text(f"before {content} after")
    with pytest.raises(ValueError, match=r"^figures/notes\.txt holds a token or a path") as error:
        check_public(tmp_path, ["mysecret"], ["/home/me/run"])
    assert content not in str(error.value)


@pytest.mark.parametrize(
    "token", ["ghp_" + "aB3" * 12, "sk-proj-" + "x7Y" * 12, "glpat-" + "k9" * 10, "hf_" + "abcdef" * 6]
)
def test_a_token_of_a_known_kind_is_found_in_any_entry(tmp_path, token):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "x", "tracker": {"note": f"by {token}"}}))
    with pytest.raises(ValueError, match=r"^config\.json holds a token") as error:
        check_public(tmp_path)
    assert token not in str(error.value)
    (tmp_path / "config.json").write_text(json.dumps({"note": f"line\n{token}"}))  # in the file: line, \, n, the token
    with pytest.raises(ValueError, match=r"^config\.json holds a token"):
        check_public(tmp_path)


def test_what_is_no_secret_passes(tmp_path):
    (tmp_path / "config.json").write_text('{"hf_version": "hf_dsd", "note": "hf_transfer", "by": "sk-learn-intelex-2"}')
    check_public(tmp_path, ["", "mysecret"])


@pytest.mark.parametrize(
    ("folder", "found", "allowed"),
    [
        ("/", [], ["https://huggingface.co", "a // b", "/"]),
        ("/out", ["/out", "--data=/out/x", '"/out"'], ["figures/out", "/outer", "runs/out/x"]),
        (
            "/home/me",
            ["/home/me", "file:///home/me/.cache", "PYTHONPATH=src:/home/me"],
            ["/home/men", "https://x.org/home/me"],
        ),
    ],
)
def test_a_folder_is_found_as_a_path_and_not_inside_other_words(tmp_path, folder, found, allowed):
    for text in found:
        (tmp_path / "notes.txt").write_text(text)
        with pytest.raises(ValueError, match=r"^notes\.txt holds a token or a path"):
            check_public(tmp_path, folders=[folder])
    for text in allowed:
        (tmp_path / "notes.txt").write_text(text)
        check_public(tmp_path, folders=[folder])
