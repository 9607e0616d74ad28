"""Damages small folders of captions and speech in seeded random ways, and counts what becomes of each.

    python tests/benchmarks/check_bad_data.py --cases 300

`clear`: refused by an error of ours that names the file, the row or the field. `right`: read as it was before, because
the damage is none (a byte order mark, other line ends). `silent`: read, but not as it was. `bare`: a traceback of a
library. The last two must be 0.
"""

import argparse
import io
import json
import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file

from hf_dsd.data import load_captions, load_speech

Damage = Callable[[Path, random.Random], None]
TEXTS = ["one two", "well, i do not know", "fa\u00e7ade", "three four five"]


def encode(kind: str, samples: int, rate: int = 16_000, subtype: str | None = None) -> bytes:
    """A tone with noise as a file of a kind."""
    noise = 0.05 * np.random.default_rng(samples).standard_normal(samples)
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(np.arange(samples) / 9) + noise, rate, format=kind, subtype=subtype)
    return file.getvalue()


def write_speech(folder: Path, table: str, kind: str) -> None:
    """Four recordings of a kind with a table of transcripts, "csv" or "jsonl"."""
    train = folder / "train"
    train.mkdir()
    rows = []
    for number, text in enumerate(TEXTS):
        (train / f"{number}.{kind.lower()}").write_bytes(encode(kind, 4000 + 500 * number))
        rows.append({"file_name": f"{number}.{kind.lower()}", "text": text})
    if table == "csv":
        lines = ["file_name,text", *(f'{row["file_name"]},"{row["text"]}"' for row in rows)]
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (train / f"metadata.{table}").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_captions(folder: Path) -> None:
    """Four images with two captions each."""
    names = [f"b\u00e4r-{number}.jpg" for number in range(4)]
    lines = [
        json.dumps({"image": name, "split": "train", "captions": [text, "a dog"]}, ensure_ascii=False)
        for name, text in zip(names, TEXTS, strict=True)
    ]
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "image_ids.json").write_text(json.dumps(names[::-1], ensure_ascii=False), encoding="utf-8")
    save_file({"features": torch.arange(12.0).reshape(4, 3)}, folder / "features.safetensors")


def read_speech(folder: Path) -> list[Any]:
    """All that training would see."""
    data = load_speech(folder)
    return [(row.name, row.transcript, data.samples(row).tolist()) for row in data.split("train")]


def read_captions(folder: Path) -> list[Any]:
    """All that training would see."""
    data = load_captions(folder)
    train = data.split("train")
    return list(zip(train.images, train.captions, data.features[train.feature_rows].tolist(), strict=True))


def edit(name: str, change: Callable[[str, random.Random], str | bytes]) -> Damage:
    """A damage of a text file."""

    def damage(folder: Path, chance: random.Random) -> None:
        path = folder / name
        content = change(path.read_text(encoding="utf-8"), chance)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def a_line(change: Callable[[str], str], first: int = 0) -> Callable[[str, random.Random], str]:
    """Changes one line, drawn from those after the first ones."""

    def changed(text: str, chance: random.Random) -> str:
        lines = text.splitlines()
        row = chance.randrange(first, len(lines))
        lines[row] = change(lines[row])
        return "\n".join(lines) + "\n"

    return changed


def any_text(field: str) -> dict[str, Callable[[str, random.Random], str | bytes]]:
    """Damages of any JSON Lines file, of a field of its rows, or of its encoding."""

    def with_value(value: Any) -> Callable[[str, random.Random], str]:
        return a_line(lambda line: json.dumps({**json.loads(line), field: value}, ensure_ascii=False))

    return {
        **any_encoding(),
        "cut off": lambda text, chance: text[: -chance.randrange(2, 30)],
        "key twice": a_line(lambda line: line[:-1] + f', "{field}": "x"}}'),
        "list": a_line(lambda line: "[1]"),
        "nested": a_line(lambda line: "[" * 100_000),
        "long number": a_line(lambda line: '{"a": ' + "9" * 5000 + "}"),
        "half a surrogate": a_line(lambda line: line[:-1] + ', "z": "\\ud800"}'),
        "two on a line": lambda text, chance: text.replace("\n", "", 1),
        "line twice": lambda text, chance: text + chance.choice(text.splitlines()) + "\n",
        "no field": a_line(lambda line: json.dumps({k: v for k, v in json.loads(line).items() if k != field})),
        **{f"{field} is {value!r}": with_value(value) for value in (None, 3, "", [], {}, [None], True)},
        "empty lines": lambda text, chance: text.replace("\n", "\n\n"),
    }


def any_encoding() -> dict[str, Callable[[str, random.Random], str | bytes]]:
    """Damages of any text file."""
    return {
        "latin-1": lambda text, chance: text.encode("latin-1"),
        "utf-16": lambda text, chance: text.encode("utf-16"),
        "byte order mark": lambda text, chance: "\ufeff" + text,
        "windows line ends": lambda text, chance: text.replace("\n", "\r\n"),
        "nul": lambda text, chance: text[: (place := chance.randrange(len(text)))] + "\0" + text[place:],
        "empty": lambda text, chance: "",
        "bytes": lambda text, chance: chance.randbytes(200),
    }


CSV: dict[str, Callable[[str, random.Random], str | bytes]] = {
    **any_encoding(),
    "comma without quotes": lambda text, chance: text.replace('"well, i do not know"', "well, i do not know"),
    "open quote": a_line(lambda line: line[:-1], first=1),
    "quote inside": a_line(lambda line: line[:-4] + '"' + line[-4:], first=1),
    "header twice": lambda text, chance: text.replace("file_name,text", "text,text").replace("text", "file_name", 1),
    "no header": lambda text, chance: text.partition("\n")[2],
    "column twice": lambda text, chance: text.replace('"\n', '","x"\n').replace(
        "file_name,text", "file_name,text,text"
    ),
    "semicolons": lambda text, chance: text.replace(',"', ';"').replace("name,", "name;"),
    "tabs": lambda text, chance: text.replace(',"', '\t"').replace("name,", "name\t"),
    "space before quote": a_line(lambda line: line.replace(',"', ', "'), first=1),
    "one more field": a_line(lambda line: line + ",x", first=1),
    "one field": a_line(lambda line: line.partition(",")[0], first=1),
    "empty text": a_line(lambda line: line.partition(",")[0] + ',""', first=1),
    "line twice": lambda text, chance: text + chance.choice(text.splitlines()[1:]) + "\n",
    "other header": lambda text, chance: text.replace("text", "words", 1),
    "long name": a_line(lambda line: "x" * 300 + line, first=1),
}

IMAGE_IDS: dict[str, Callable[[str, random.Random], str | bytes]] = {
    **any_encoding(),
    "cut off": lambda text, chance: text[: -chance.randrange(1, 20)],
    "twice": lambda text, chance: json.dumps([json.loads(text)[0], *json.loads(text)[:-1]]),
    "too few": lambda text, chance: json.dumps(json.loads(text)[1:]),
    "too many": lambda text, chance: json.dumps([*json.loads(text), "x"]),
    "numbers": lambda text, chance: "[0, 1, 2, 3]",
    "object": lambda text, chance: json.dumps(dict.fromkeys(json.loads(text), 0)),
    "other name": lambda text, chance: text.replace("-0", "-9"),
}


def on_file(change: Callable[[Path, random.Random], Any]) -> Callable[[Path, random.Random], None]:
    return lambda path, chance: change(path, chance) and None


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content) // 2, len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def replace_by_folder(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()


def link_to_nothing(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.symlink_to("nothing")


ANY_FILE: dict[str, Callable[[Path, random.Random], Any]] = {
    "cut": lambda path, chance: path.write_bytes((content := path.read_bytes())[: chance.randrange(len(content) - 20)]),
    "missing": lambda path, chance: path.unlink(),
    "empty": lambda path, chance: path.write_bytes(b""),
    "text": lambda path, chance: path.write_text("not a file of this kind\n" * 20),
    "bytes": lambda path, chance: path.write_bytes(chance.randbytes(3000)),
    "folder": replace_by_folder,
    "dangling link": link_to_nothing,
}


def features(tensor: torch.Tensor, name: str = "features") -> Callable[[Path, random.Random], Any]:
    return lambda path, chance: save_file({name: tensor}, path)


FEATURES: dict[str, Callable[[Path, random.Random], Any]] = {
    **ANY_FILE,
    "other name": features(torch.arange(12.0).reshape(4, 3), "vectors"),
    "three dimensions": features(torch.zeros(4, 3, 1)),
    "nan": features(torch.full((4, 3), torch.nan)),
    "too large": features(torch.full((4, 3), 1e300, dtype=torch.float64)),
    "rows": features(torch.zeros(5, 3)),
    "half precision": features(torch.arange(12.0).reshape(4, 3).half()),
    "integers": features(torch.arange(12).reshape(4, 3)),
}


def audio_damages(kind: str) -> dict[str, Callable[[Path, random.Random], Any]]:
    checked = {"flipped bit": flip} if kind in ("FLAC", "OGG") else {}  # the others have no check sums
    return {
        **ANY_FILE,
        **checked,
        "other rate": lambda path, chance: path.write_bytes(encode(kind, 2000, 8000)),
        "not finite": lambda path, chance: soundfile.write(
            path, np.array([0.1, np.nan] * 50), 16_000, "FLOAT", format="WAV"
        ),
        "no samples": lambda path, chance: path.write_bytes(encode("WAV", 0)),
    }


def one_of(damages: dict[str, Any], chance: random.Random) -> tuple[str, Any]:
    return chance.choice(list(damages.items()))


def make_case(folder: Path, chance: random.Random) -> tuple[str, Callable[[Path], list[Any]], Callable[[], Any]]:
    """Writes a whole folder; returns the case's name, its reader, and what damages it."""
    where = chance.choice(["csv", "jsonl", "audio", "audio", "captions", "image_ids", "features"])
    if where in ("captions", "image_ids", "features"):
        write_captions(folder)
        file = {"captions": "captions.jsonl", "image_ids": "image_ids.json", "features": "features.safetensors"}[where]
        if where == "features":
            name, change = one_of(FEATURES, chance)
            return f"{where}: {name}", read_captions, lambda: change(folder / file, chance)
        damages = IMAGE_IDS if where == "image_ids" else any_text(chance.choice(["image", "split", "captions"]))
        name, change = one_of(damages, chance)
        return f"{where}: {name}", read_captions, lambda: edit(file, change)(folder, chance)
    kind = chance.choice(["WAV", "FLAC", "OGG", "MP3", "AIFF"]) if where == "audio" else "FLAC"
    table = where if where != "audio" else chance.choice(["csv", "jsonl"])
    write_speech(folder, table, kind)
    if where == "audio":
        name, change = one_of(audio_damages(kind), chance)
        path = folder / "train" / f"{chance.randrange(4)}.{kind.lower()}"
        return f"{kind}: {name}", read_speech, lambda: change(path, chance)
    damages = CSV if where == "csv" else any_text(chance.choice(["file_name", "text"]))
    name, change = one_of(damages, chance)
    return f"{where}: {name}", read_speech, lambda: edit(f"train/metadata.{table}", change)(folder, chance)


def try_case(seed: int) -> tuple[str, str, str]:
    """One folder, damaged once: its name, what became of it, and the message."""
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="bad-data-"))
    try:
        name, read, damage = make_case(folder, chance)
        whole = read(folder)
        damage()
        try:
            found = read(folder)
        except (ValueError, TypeError, FileNotFoundError) as error:
            raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
            names = any(place in str(error) for place in ("train/", "metadata.", ".json", "features", "split"))
            ours = "hf_dsd" in Path(raised_in).parts and ";" in str(error)  # what is wrong; what to do
            return name, "clear" if ours and names else "bare", str(error)
        except Exception as error:
            return name, "bare", repr(error)
        return name, "right" if found == whole else "silent", ""
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--verbose", action="store_true", help="Print every message.")
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    for seed in range(arguments.cases):
        name, outcome, message = try_case(seed)
        counts[outcome] += 1
        if arguments.verbose or outcome in ("silent", "bare"):
            print(f"{seed:4} {outcome:6} {name}: {message[:160]}")
    print(" / ".join(f"{outcome} {counts[outcome]}" for outcome in ("clear", "right", "silent", "bare")))


if __name__ == "__main__":
    main()
