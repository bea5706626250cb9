"""Simplified to Taiwan's characters: errors that change the meaning, free variants, speed and memory of danlu's
converter, OpenCC s2tw, zhconv, zhconv-rs-opencc, StarCC and opencc-jieba-pyo3 on the same text.

The text was written in Taiwan: the paragraphs of DRCD dev, and the statutes that the model was not built from (a fifth
of them, by the checksum of their number). It is simplified with OpenCC's `tw2s` and converted back. An error is a
place where what comes out and what stood there differ and both stand in one group of `pairs.txt`; any other difference
is a free variant (台 臺, 占 佔, 周 週). A character that is only ever Simplified and comes out is counted too.

Each system runs alone in a process of its own, bound to one core, and converts each text as one string; the time is
the processor's, the least of three conversions after the first (StarCC and zhconv: of one). `ratio` is OpenCC's seconds
over ours on both texts together, `memory_ratio` our peak memory over OpenCC's, `agreement` the share of characters on
which the two agree; there are no matrix products to count for `mfu`. The peers live in .envs/convert, because the
compiled ones need no part of danlu.

    .venv/bin/pip install -e '.[bench]' && .venv/bin/python bench/convert.py
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

from sides import ROOT, answer, environment, finish

SHARED = ROOT.parent / "shared"
PEERS = ["opencc==1.4.2", "zhconv==1.4.3", "zhconv-rs-opencc==0.4.2", "starcc==0.0.5", "opencc-jieba-pyo3==0.8.0"]


# The systems


def danlu() -> Callable[[str], str]:
    from danlu.text.variants import to_traditional

    return to_traditional


def opencc() -> Callable[[str], str]:
    from opencc import OpenCC

    return OpenCC("s2tw").convert


def zhconv() -> Callable[[str], str]:
    import zhconv

    return lambda text: zhconv.convert(text, "zh-tw")


def zhconv_rs() -> Callable[[str], str]:
    from zhconv_rs_opencc import zhconv

    return lambda text: zhconv(text, "zh-tw")


def starcc() -> Callable[[str], str]:
    from StarCC import PresetConversion

    return PresetConversion(src="cn", dst="tw", with_phrase=False)


def opencc_jieba() -> Callable[[str], str]:
    from opencc_jieba_pyo3 import OpenCC

    return OpenCC("s2tw").convert


SYSTEMS = {
    "danlu": danlu,
    "opencc": opencc,
    "zhconv": zhconv,
    "zhconv-rs-opencc": zhconv_rs,
    "starcc": starcc,
    "opencc-jieba-pyo3": opencc_jieba,
}
SLOW = ("zhconv", "starcc")


def side(name: str, folder: Path, out: str) -> None:
    """Convert every text of `folder` on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    began = time.process_time()
    convert = SYSTEMS[name]()
    convert("头发")
    load = time.process_time() - began
    seconds = {}
    for path in sorted(folder.glob("*.simplified")):
        text = path.read_bytes().decode()
        times = []
        for _ in range(1 if name in SLOW else 4):
            began = time.process_time()
            converted = convert(text)
            times.append(time.process_time() - began)
        path.with_suffix(f".{name}").write_bytes(converted.encode())
        seconds[path.stem] = min(times)
    answer(out, {"seconds": seconds, "load_seconds": load})


# The texts


def drcd() -> Iterator[str]:
    data = json.loads((SHARED / "data" / "rc" / "drcd" / "DRCD_dev.json").read_text(encoding="utf-8"))["data"]
    yield from (paragraph["context"] for article in data for paragraph in article["paragraphs"])


def statutes() -> Iterator[str]:
    """The articles of the laws that `danlu.text.conversion_sources` holds out."""
    from danlu.text.conversion_sources import held_out

    with gzip.open(SHARED / "data" / "corpus" / "tw-law-large.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = map(json.loads, file)
        yield from (row["text"] for row in rows if held_out(row["pcode"]))


TEXTS = {"drcd": drcd, "statutes": statutes}


def groups() -> dict[str, str]:
    """Each character with those that it must not be confused with."""
    found: dict[str, str] = {}
    for line in (SHARED / "cases" / "taiwan" / "pairs.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            for one, other in permutations(line.strip(), 2):
                found[one] = found.get(one, "") + other
    return found


def judged(original: str, converted: str, simplified_only: set[str]) -> dict[str, Any]:
    confused = groups()
    left = sum(character in simplified_only for character in converted)
    differing: Counter[tuple[str, str]] = Counter()
    before, after = original.split("\n"), converted.split("\n")
    lost = 0  # characters of lines that changed their length, which cannot be compared place by place
    for one, other in zip(before, after, strict=True):
        if len(one) == len(other):
            differing.update(pair for pair in zip(one, other, strict=True) if pair[0] != pair[1])
        else:
            lost += len(one)
    compared = len(original) - lost
    errors = {pair: count for pair, count in differing.items() if pair[1] in confused.get(pair[0], "")}
    free = sum(differing.values()) - sum(errors.values())
    return {
        "length_kept": len(original) == len(converted),
        "characters_not_compared": lost,
        "simplified_left": left,
        "errors_per_10000": round(sum(errors.values()) / compared * 1e4, 3),
        "free_variants_per_10000": round(free / compared * 1e4, 3),
        "commonest": {f"{one} → {other}": count for (one, other), count in Counter(errors).most_common(12)},
    }


def everything(limit: int) -> None:
    from danlu.text import variants

    simplified_only = set(variants.simplified())
    python = environment("convert", PEERS)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, originals = Path(temporary), {}
        for name, text in TEXTS.items():
            originals[name] = "\n".join(text())[: limit or None]
            simplified = variants._opencc("tw2s").convert(originals[name])
            assert len(simplified) == len(originals[name])
            (folder / f"{name}.simplified").write_bytes(simplified.encode())
        for name in SYSTEMS:
            out = folder / "answer.json"
            command = [sys.executable if name == "danlu" else python, __file__, "--side", name]
            paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'bench'}"} if name == "danlu" else {}
            subprocess.run(
                [*command, "--folder", temporary, "--answer", str(out)],
                check=True, env=os.environ | paths | {"OMP_NUM_THREADS": "1"}, stdout=sys.stderr,
            )  # fmt: skip
            results[name] = json.loads(out.read_text(encoding="utf-8"))
            for text, original in originals.items():
                converted = (folder / f"{text}.{name}").read_bytes().decode()
                speed = round(len(original) / results[name]["seconds"][text])
                found = judged(original, converted, simplified_only) | {"characters_per_second": speed}
                results[name][text] = found
                said = {key: value for key, value in found.items() if key != "commonest"}
                print(f"{name} {text}: {said}", file=sys.stderr)
        agreed = {}
        for text in originals:
            both = [(folder / f"{text}.{name}").read_bytes().decode() for name in ("danlu", "opencc")]
            agreed[text] = sum(map(str.__eq__, *both))
    report(results, {name: len(text) for name, text in originals.items()}, agreed)


def report(results: dict[str, dict[str, Any]], sizes: dict[str, int], agreed: dict[str, int]) -> None:
    seconds = {name: sum(result["seconds"].values()) for name, result in results.items()}
    line = {
        "ratio": round(seconds["opencc"] / seconds["danlu"], 3),
        "memory_ratio": round(results["danlu"]["peak_memory"] / results["opencc"]["peak_memory"], 3),
        "agreement": round(sum(agreed.values()) / sum(sizes.values()), 4),
        "mfu": None,
        "errors_per_10000": {
            text: {name: result[text].get("errors_per_10000") for name, result in results.items()} for text in sizes
        },
        "characters_per_second": round(sum(sizes.values()) / seconds["danlu"]),
        "model_bytes": (ROOT / "danlu" / "text" / "conversion.npz").stat().st_size,
    }
    finish("convert", line, {"characters": sizes, "systems": results, "peers": PEERS}, ["numpy", "opencc"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=0, help="characters of each text (default: all)")
    parser.add_argument("--side", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        side(args.side, args.folder, args.answer)
    else:
        everything(args.limit)


if __name__ == "__main__":
    sys.exit(main())
