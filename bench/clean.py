"""Cleaning and filtering: characters per second and peak memory of data.clean and data.filter against datatrove's
formatters and quality filters, in one run.

The documents are Taiwan's laws (a law is a document), books and manuals in Markdown, DRCD's paragraphs and message
catalogues; they come round again, numbered, until there are `--size` million characters. Both sides read and write
JSONL on two processes, each in a process of its own that is timed from its start to its last written file.

danlu mends encodings, normalises, tells the script and judges by data.filter. datatrove runs its FTFY formatter and
symbol-line remover, then its filters after Gopher (quality, repetition), C4 and FineWeb with its Chinese word
tokenizer. The bounds are set alike, a word of theirs for two characters of ours. Neither side has a language model
(fastText needs a download) nor replaces words. `agreement` is the share of documents that both sides keep or both
drop: the rules about lines and marks are the same, n-grams are of characters here and of words there. Peak memory is
the sum over a side's processes of their proportional set sizes. datatrove lives in .envs/clean, because its pins
exclude some of danlu's.

    .venv/bin/pip install -e '.[bench]' && .venv/bin/python bench/clean.py
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from sides import ROOT, environment, finish, timed

SHARED = ROOT.parent / "shared" / "data"
PEERS = ["datatrove[io,processing]==0.10.1", "spacy==3.8.18", "jieba==0.42.1"]
PROCESSES = 2

STOPS = list("的是在有不了和這我人他以之與為於及其而或所也就得應中上會可你說對要將用")
TOP_NGRAMS = {2: 0.2, 3: 0.18, 4: 0.16}
DUPLICATE_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}


# The documents


def texts() -> Iterator[tuple[str, str]]:
    """(id, text) of every document."""
    laws: dict[str, list[str]] = {}
    with gzip.open(SHARED / "corpus" / "tw-law-large.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            laws.setdefault(row["law"], []).append(f"{row['article']}\n{row['text']}")
    yield from ((law, f"{law}\n\n" + "\n\n".join(articles)) for law, articles in laws.items())
    for folder in ("corpus", "instruct/tw-leetcode", "bench", "rc"):
        for path in sorted((SHARED / folder).rglob("*.md")):
            yield path.relative_to(SHARED).as_posix(), path.read_text(encoding="utf-8", errors="replace")
    drcd = json.loads((SHARED / "rc" / "drcd" / "DRCD_dev.json").read_text(encoding="utf-8"))["data"]
    for article in drcd:
        yield from ((paragraph["id"], paragraph["context"]) for paragraph in article["paragraphs"])
    for path in sorted((SHARED / "corpus" / "python-docs-po").rglob("*.po")):
        yield path.relative_to(SHARED).as_posix(), path.read_text(encoding="utf-8")


def write_documents(folder: Path, size: int) -> tuple[int, int]:
    """documents.jsonl for danlu; peer/0.jsonl and peer/1.jsonl, the same dealt out, for datatrove. Returns how many
    documents and characters."""
    from danlu.records import Document

    (folder / "peer").mkdir(parents=True)
    documents = characters = 0
    known = list(texts())
    halves = [(folder / "peer" / f"{half}.jsonl").open("w", encoding="utf-8") for half in range(PROCESSES)]
    with (folder / "documents.jsonl").open("w", encoding="utf-8") as ours, halves[0], halves[1]:
        for again in count():
            for name, text in known:
                id = f"{again}/{name}"
                record = Document(id=id, text=text, source=id).model_dump()
                print(json.dumps(record, ensure_ascii=False, sort_keys=True), file=ours)
                print(json.dumps({"id": id, "text": text}, ensure_ascii=False), file=halves[documents % PROCESSES])
                documents, characters = documents + 1, characters + len(text)
                if characters >= size:
                    return documents, characters
    raise AssertionError("unreachable")


# The sides


def danlu(folder: Path, out: Path) -> None:
    from danlu.artifact import Artifact, Store
    from danlu.data.clean import Clean, CleanSettings
    from danlu.data.filter import Filter, FilterSettings
    from danlu.track import Track

    source = Artifact(folder, {"id": "all", "kind": "documents", "files": {}})
    store = Store(out / "store")
    clean = CleanSettings(documents="all", to_taiwan="never", taiwan_terms=False, language="any", min_characters=1)
    filters = FilterSettings(
        documents="clean", code="measure", min_characters=100, max_characters=200_000, max_replacement=None,
        min_letters=0.5, max_symbols=None, min_stop_words=2, max_hashes=0.1, max_ellipses=0.1, max_bullet_lines=0.9,
        max_ellipsis_lines=0.3, min_punctuated_lines=0.12, max_short_lines=0.8, short_line=30, max_line_ends=0.5,
        max_braces=0, max_policy_lines=0.3, max_toxic=None, top_ngrams=TOP_NGRAMS, duplicate_ngrams=DUPLICATE_NGRAMS,
    )  # fmt: skip
    with store.draft("clean") as draft, store.draft("filter") as kept:
        Clean(clean).run({"documents": source}, draft, Track(quiet=True))
        cleaned = Artifact(draft.path, {"id": "clean", "kind": "documents", "files": {}})
        Filter(filters).run({"documents": cleaned}, kept, Track(quiet=True))
        os.replace(kept.file("documents.jsonl"), out / "kept.jsonl")
        os.replace(kept.file("dropped.jsonl"), out / "dropped.jsonl")


def datatrove(folder: Path, out: Path) -> None:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.formatters import FTFYFormatter, SymbolLinesFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    def dropped(name: str) -> Any:
        return JsonlWriter(str(out / "dropped" / name), compression=None)

    pipeline = [
        JsonlReader(str(folder / "peer")),
        FTFYFormatter(),
        SymbolLinesFormatter(),
        GopherQualityFilter(
            min_doc_words=50, max_doc_words=100_000, min_avg_word_length=1, max_avg_word_length=10,
            max_symbol_word_ratio=0.1, max_bullet_lines_ratio=0.9, max_ellipsis_lines_ratio=0.3,
            max_non_alpha_words_ratio=0.5, min_stop_words=2, stop_words=STOPS, language="zho_Hani",
            exclusion_writer=dropped("gopher-quality"),
        ),
        C4QualityFilter(
            filter_no_terminal_punct=False, min_num_sentences=-1, min_words_per_line=-1, max_word_length=-1,
            language="zho_Hani", exclusion_writer=dropped("c4"),
        ),
        FineWebQualityFilter(
            line_punct_thr=0.12, short_line_thr=0.8, short_line_length=15, char_duplicates_ratio=0.2,
            new_line_ratio=0.5, language="zho_Hani", exclusion_writer=dropped("fineweb"),
        ),
        GopherRepetitionFilter(
            top_n_grams=tuple(TOP_NGRAMS.items()), dup_n_grams=tuple(DUPLICATE_NGRAMS.items()), language="zho_Hani",
            exclusion_writer=dropped("gopher-repetition"),
        ),
        JsonlWriter(str(out / "kept"), compression=None),
    ]  # fmt: skip
    LocalPipelineExecutor(pipeline, tasks=PROCESSES, workers=PROCESSES, logging_dir=str(out / "logs")).run()


SIDES = {"danlu": danlu, "datatrove": datatrove}


def rows(path: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]:
        with file.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def verdicts(side: str, out: Path) -> dict[str, str]:
    """By document: why it is dropped; empty when it is kept."""
    if side == "danlu":
        return {row["id"]: "" for row in rows(out / "kept.jsonl")} | {
            row["id"]: row["reason"] for row in rows(out / "dropped.jsonl")
        }
    found = {row["id"]: "" for row in rows(out / "kept")}
    return found | {row["id"]: str(row["metadata"].get("filter_reason")) for row in rows(out / "dropped")}


# Measuring


def run(side: str, folder: Path, out: Path) -> dict[str, float]:
    """Seconds and peak memory (bytes) of one side, from the start of its process to its end."""
    python = sys.executable if side == "danlu" else environment("clean", PEERS)
    command = [python, __file__, "--side", side, "--folder", str(folder), "--out", str(out)]
    return timed(side, command, out, {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")})


def everything(args: argparse.Namespace) -> None:
    results: dict[str, dict[str, Any]] = {}
    said: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, small = Path(temporary) / "full", Path(temporary) / "small"
        documents, characters = write_documents(folder, int(args.size * 1e6))
        write_documents(small, 200_000)
        print(f"{documents} documents, {characters:,} characters", file=sys.stderr)
        for side in SIDES:
            run(side, small, Path(temporary) / f"warm-{side}")
            measured = run(side, folder, Path(temporary) / side)
            said[side] = verdicts(side, Path(temporary) / side)
            assert len(said[side]) == documents, f"{side} lost {documents - len(said[side])} documents"
            results[side] = measured | {
                "characters_per_second": characters / measured["seconds"],
                "reasons": counted(said[side]),
            }
    ours, theirs = results["danlu"], results["datatrove"]
    agreed = sum(bool(reason) == bool(said["datatrove"][id]) for id, reason in said["danlu"].items())
    line = {
        "ratio": round(theirs["seconds"] / ours["seconds"], 3),
        "memory_ratio": round(ours["peak_memory"] / theirs["peak_memory"], 3),
        "agreement": round(agreed / documents, 4),
        "characters_per_second": round(ours["characters_per_second"]),
    }
    differing = counted({id: f"{a or 'kept'} / {b or 'kept'}" for id, a, b in differences(said)})
    detail = {
        "documents": documents, "characters": characters, "processes": PROCESSES, "sides": results,
        "verdicts_that_differ": differing, "peers": PEERS,
    }  # fmt: skip
    finish("clean", line, detail, ["numpy", "pydantic"])


def differences(said: dict[str, dict[str, str]]) -> Iterator[tuple[str, str, str]]:
    for id, ours in said["danlu"].items():
        theirs = said["datatrove"][id]
        if bool(ours) != bool(theirs):
            yield id, ours, theirs


def counted(reasons: dict[str, str]) -> dict[str, int]:
    from collections import Counter

    found = Counter(reason or "kept" for reason in reasons.values())
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=20, help="million characters (default 20)")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        SIDES[args.side](args.folder, args.out)
    else:
        everything(args)


if __name__ == "__main__":
    sys.exit(main())
