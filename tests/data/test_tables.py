"""Transcripts and captions from files that people wrote: what would be read wrongly is refused by file and line."""

import json
from pathlib import Path

import pytest

from hf_dsd.data.tables import locate_file, read_csv, read_json_list, read_jsonl, read_tsv


def write(folder: Path, content: str | bytes, name: str = "metadata.csv") -> Path:
    path = folder / "train" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        pytest.param(
            'file_name,text\n0.wav,"well, i do not know"\n1.wav,yes\n', ["well, i do not know", "yes"], id="q"
        ),
        pytest.param('file_name,text\r\n0.wav,"a ""b"" c"\r\n\r\n1.wav,"""x"""', ['a "b" c', '"x"'], id="crlf-quotes"),
        pytest.param("\ufefffile_name,text\n0.wav,\u00e4\u2028b\n", ["\u00e4\u2028b"], id="byte-order-mark"),
        pytest.param('file_name,text\r0.wav,5" nails\r', ['5" nails'], id="old-line-ends"),
        pytest.param("text,file_name,n\n,0.wav,1\n", [""], id="empty-text"),
    ],
)
def test_csv(tmp_path, content, texts):
    assert [row["text"] for _, row in read_csv(write(tmp_path, content))] == texts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("file_name,text\n0.wav,well, i know\n", "line 2 must have 2 fields .* got 3.*quotes", id="comma"),
        pytest.param("file_name,text\n\n0.wav\n", "line 3 must have 2 fields .* got 1", id="too-few"),
        pytest.param('file_name,text\n0.wav,"well\n1.wav,no\n', "line 2 must have its quotes closed", id="open-quote"),
        pytest.param('file_name,text\n0.wav,"a\n1.wav,b"\n', "line 2 must have its quotes closed", id="two-lines"),
        pytest.param('file_name,text\n0.wav,"a" b\n', "line 2 must have its quotes closed", id="after-a-quote"),
        pytest.param('file_name,text\n0.wav, "a"\n', "line 2 must have no space before a quote", id="space"),
        pytest.param("file_name,text,text\n0.wav,a,b\n", "line 1 must name every column once, got 'text'", id="header"),
        pytest.param("file_name;text\n0.wav;a\n", "line 1 must be separated by commas, got ';'", id="semicolons"),
        pytest.param("file_name\ttext\n0.wav\ta\n", r"line 1 must be separated by commas, got '\\t'", id="tabs"),
        pytest.param("file_name,text\n0.wav,a\n1.wav,fa\u00e7ade\n".encode("latin-1"), "line 3 must be UTF-8", id="l1"),
        pytest.param("file_name,text\n0.wav,a\n".encode("utf-16"), "line 1 must be UTF-8", id="utf-16"),
        pytest.param("file_name,text\n0.wav,a\0b\n", "line 2 must be text, got a NUL", id="nul"),
    ],
)
def test_a_csv_that_would_be_read_wrongly_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match="train/metadata.csv " + message):
        list(read_csv(write(tmp_path, content)))


def test_jsonl_with_a_byte_order_mark(tmp_path):
    path = write(tmp_path, "\ufeff" + '{"a": "\u2028"}\r\n\n{"a": "\\ud83d\\ude00"}', "x.jsonl")
    assert list(read_jsonl(path)) == [
        ("train/x.jsonl line 1", {"a": "\u2028"}),
        ("train/x.jsonl line 3", {"a": "\U0001f600"}),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b'{"text": "fa\xe7ade"}', "must be UTF-8, got the byte 0xe7; save", id="latin-1"),
        pytest.param(b'{"text": "a", "text": "b"}', "must be a JSON object.*the key 'text' appears twice", id="twice"),
        pytest.param(b'{"text": "a\\ud800"}', "must be a JSON object.*surrogates not allowed", id="half-a-surrogate"),
        pytest.param(b"[" * 100_000, "must be a JSON object.*nested too deeply", id="nested"),
        pytest.param(b'{"n": ' + b"9" * 5000 + b"}", "must be a JSON object.*integer of 5000 digits", id="long-number"),
        pytest.param(b'{"text": "a"', "must be a JSON object.*delimiter", id="cut-off"),
        pytest.param(b'{"text": "a"}{"text": "b"}', "must be a JSON object.*Extra data", id="two-objects"),
        pytest.param(b"3", "must be a JSON object, got '3'", id="number"),
    ],
)
def test_a_jsonl_line_that_would_be_read_wrongly_is_refused(tmp_path, line, message):
    path = write(tmp_path, b'{"text": "\xc3\xa4"}\n' + line + b"\n", "x.jsonl")
    with pytest.raises(ValueError, match="train/x.jsonl line 2 " + message):
        list(read_jsonl(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param('["fa\u00e7ade"]'.encode("latin-1"), "line 1 must be UTF-8", id="latin-1"),
        pytest.param(json.dumps([1]), r"must be a JSON list of names, got \[1\]", id="numbers"),
        pytest.param("[", "must be a JSON list of names, got invalid JSON", id="cut-off"),
    ],
)
def test_a_list_that_would_be_read_wrongly_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match="ids.json " + message):
        read_json_list(write(tmp_path, content, "ids.json"), "names")


def test_tsv_takes_quotes_as_they_are(tmp_path):
    path = write(tmp_path, '\ufeffpath\ttext\r\n0.wav\t"a, b\r\n', "x.tsv")
    assert list(read_tsv(path)) == [("train/x.tsv line 2", {"path": "0.wav", "text": '"a, b'})]
    with pytest.raises(ValueError, match="x.tsv line 1 must be separated by tabs, got ',' in 'path,text'; write tabs"):
        list(read_tsv(write(tmp_path, "path,text\n0.wav,a\n", "x.tsv")))


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.wav", "top/sub/a.wav"), ("../a.wav", "top/a.wav"), ("x/../../b/./a.wav", "top/b/a.wav"), ("/a.wav", "/a.wav")],
)
def test_files_of_a_table(tmp_path, name, found):
    top = tmp_path / "top"
    assert locate_file("t.csv line 2", "path", name, top / "sub", top) == tmp_path / found


@pytest.mark.parametrize("name", ["../../a.wav", "../../topping/a.wav", "x/../../../a.wav"])
def test_a_file_outside_of_what_was_named_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"t.csv line 2: path must lie in the folder 'top', got '.*', which leaves it"):
        locate_file("t.csv line 2", "path", name, tmp_path / "top" / "sub", tmp_path / "top")


@pytest.mark.parametrize("name", [None, "", 3])
def test_a_path_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"t.csv line 2: path must be a str, got {name!r}; give the path"):
        locate_file("t.csv line 2", "path", name, tmp_path, tmp_path)
