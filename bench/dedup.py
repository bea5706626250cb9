"""Near-duplicate removal: documents per second and peak memory of data.dedup against datatrove, text-dedup and
datasketch, in one run; rensa (a MinHash library in Rust) is measured too and told apart.

The documents are articles of Taiwan's laws and seeded edits of them at known similarities. All sides look at the same
character 5-grams with 125 permutations in 25 bands of 5 rows, on two processes or threads, each in a process of its own
that is timed from its start to its last written file. The peers are given the text that danlu's side has still to
make (letters and digits alone, one form of each), with a space between characters where they count words, so that no
peer pays for that; danlu also verifies each pair, which no peer does. The truth is the same rule over all pairs, found
by another program here (prefix filtering, exact). Peak memory is the sum over a side's processes of their proportional
set sizes. The peers' versions are pinned and live in .envs/dedup, because their pins exclude some of danlu's.

    .venv/bin/pip install -e '.[bench]' && .venv/bin/python bench/dedup.py
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sides import ROOT, environment, finish, timed

LAWS = ROOT.parent / "shared" / "data" / "corpus" / "tw-law-large.jsonl.gz"
PEERS = ["datatrove[io,processing]==0.10.1", "text-dedup==0.4.0", "datasketch==2.0.0", "rensa==0.5.0", "xxhash"]
NAMED = ["datatrove", "text-dedup", "datasketch"]
THRESHOLD, NGRAM, BANDS, ROWS = 0.8, 5, 25, 5
LEVELS = (0.8, 0.85, 0.9, 0.95, 0.98)
SHORTEST = 40


# The documents and the truth


def write_documents(folder: Path, count: int, seed: int) -> dict[str, float]:
    """documents.jsonl (as data.read writes it), cores-0.jsonl and cores-1.jsonl (what peers are given), and the planted
    pairs: id of the edit → true similarity to its original."""
    import gzip

    from danlu.data.core import core, jaccard, ngrams
    from danlu.records import Document

    with gzip.open(LAWS, "rt", encoding="utf-8") as file:
        articles = [json.loads(line)["text"] for line in file]
    articles = [text for text in dict.fromkeys(articles) if len(core(text)) >= SHORTEST]
    chance = random.Random(seed)
    chance.shuffle(articles)
    articles = articles[: count // 2]
    letters = "".join(articles[:2000])
    rows = [(text, "", 0.0) for text in articles]
    while len(rows) < count:
        at = chance.randrange(len(articles))
        text = articles[at]
        grams = ngrams(core(text), NGRAM)
        level = chance.choice(LEVELS)
        edits = max(1, round(len(grams) * (1 - level) / (1 + level) / NGRAM))
        changed = list(text)
        for place in chance.sample(range(len(text)), min(edits, len(text))):
            changed[place] = chance.choice(letters)
        edit = "".join(changed)
        rows.append((edit, str(at), jaccard(grams, ngrams(core(edit), NGRAM))))
    names = list(range(len(rows)))
    chance.shuffle(names)
    order = sorted(range(len(rows)), key=names.__getitem__)
    planted = {}
    with (folder / "documents.jsonl").open("w") as ours, open_halves(folder) as halves:
        for at, number in enumerate(order):
            text, original, similarity = rows[number]
            id = f"law/{names[number]:07d}.txt"
            if original:
                planted[f"{id} law/{names[int(original)]:07d}.txt"] = similarity
            document = Document(id=id, text=text, source=id, meta={"lines": [at, at]})
            print(json.dumps(document.model_dump(), ensure_ascii=False, sort_keys=True), file=ours)
            peer = {"id": id, "text": " ".join(core(text))}
            print(json.dumps(peer, ensure_ascii=False), file=halves.files[2 * at // len(order)])
    return planted


class open_halves:
    """cores-0.jsonl and cores-1.jsonl: one file for each of two tasks."""

    def __init__(self, folder: Path) -> None:
        (folder / "cores").mkdir()
        self.files = [(folder / "cores" / f"{half}.jsonl").open("w") for half in range(2)]

    def __enter__(self) -> open_halves:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self.files:
            file.close()


def peer_lines(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(id, core, line) of each document that peers are given, in order."""
    for half in range(2):
        with (folder / "cores" / f"{half}.jsonl").open() as file:
            for line in file:
                record = json.loads(line)
                yield record["id"], record["text"].replace(" ", ""), line


def truth(folder: Path) -> set[str]:
    """The ids that the rule drops: in order of the ids, against those kept, over all pairs; exact, by prefix filtering
    (Bayardo, Ma and Srikant, 2007, "Scaling up all pairs similarity search")."""
    import numpy as np

    documents = sorted((id, text) for id, text, _ in peer_lines(folder))
    grams = []
    for _, text in documents:
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
        value = np.zeros(len(codes) - NGRAM + 1, np.uint64)
        for at in range(NGRAM):
            value = value * np.uint64(0xD6E8FEB86659FD93) + codes[at : len(codes) - NGRAM + 1 + at]
        grams.append(np.unique(value))
    sizes = [len(one) for one in grams]
    _, number, times = np.unique(np.concatenate(grams), return_inverse=True, return_counts=True)
    rare = np.empty(len(times), np.int64)
    rare[np.argsort(times, kind="stable")] = np.arange(len(times))
    ranked = [np.sort(part) for part in np.split(rare[number], np.cumsum(sizes)[:-1])]
    index: dict[int, list[int]] = defaultdict(list)
    kept: dict[int, set[int]] = {}
    dropped = set()
    for at, ranks in enumerate(ranked):
        whole = set(ranks.tolist())
        prefix = ranks[: len(ranks) - -(-len(ranks) * 4 // 5) + 1].tolist()
        for other in {other for gram in prefix for other in index.get(gram, ())}:
            shared = len(whole & kept[other])
            if shared / (len(whole) + len(kept[other]) - shared) >= THRESHOLD:
                dropped.add(documents[at][0])
                break
        else:
            kept[at] = whole
            for gram in prefix:
                index[gram].append(at)
    return dropped


# The sides


def danlu(folder: Path, out: Path) -> None:
    from danlu.artifact import Artifact, Store
    from danlu.data.dedup import Dedup, DedupSettings, bands
    from danlu.track import Track

    assert bands(THRESHOLD) == (BANDS, ROWS)
    source = Artifact(folder, {"id": "law", "kind": "documents", "files": {}})
    with Store(out / "store").draft("dedup") as draft:
        Dedup(DedupSettings(documents=("law",))).run({"documents.0": source}, draft, Track(quiet=True))
        os.replace(draft.file("documents.jsonl"), out / "kept.jsonl")


def datatrove(folder: Path, out: Path) -> None:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.text import TextNormConfig
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Characters(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        sent_tokenize = span_tokenize = word_tokenize

    nothing = TextNormConfig(**dict.fromkeys(TextNormConfig.__dataclass_fields__, False))
    config = MinhashConfig(NGRAM, BANDS, ROWS, norm_config=nothing, hash_config=HashConfig(precision=64))
    signatures, buckets, remove = (str(out / name) for name in ("signatures", "buckets", "remove"))
    reader = JsonlReader(str(folder / "cores"))
    stages = [
        (2, [reader, MinhashDedupSignature(signatures, config, language=Characters())]),
        (BANDS, [MinhashDedupBuckets(signatures, buckets, config=config)]),
        (1, [MinhashDedupCluster(buckets, remove, config=config)]),
        (2, [reader, MinhashDedupFilter(remove), JsonlWriter(str(out / "kept"), compression=None)]),
    ]
    for number, (tasks, pipeline) in enumerate(stages):
        logs = str(out / "logs" / str(number))
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=min(2, tasks), logging_dir=logs).run()


def text_dedup(folder: Path, out: Path) -> None:
    command = [
        sys.executable, "-m", "text_dedup.minhash", "--path", "json", "--data_files", str(folder / "cores" / "*.jsonl"),
        "--split", "train", "--cache_dir", str(out / "cache"), "--output", str(out / "saved"), "--column", "text",
        "--ngram", str(NGRAM), "--min_length", "0", "--num_perm", str(BANDS * ROWS), "--b", str(BANDS),
        "--r", str(ROWS), "--threshold", str(THRESHOLD), "--num_proc", "2", "--hash_func", "xxh3", "--hash_bits", "32",
        "--batch_size", "10000",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=sys.stderr, env=os.environ | {"HF_HOME": str(out / "home")})


def sketches(documents: list[tuple[str, str, str]]) -> Any:
    """The hash values of each document, shape (documents, permutations); of datasketch, in one of two processes."""
    import numpy as np
    from datasketch import MinHash
    from xxhash import xxh32_intdigest

    grams = ([text[at : at + NGRAM].encode() for at in range(len(text) - NGRAM + 1)] for _, text, _ in documents)
    made = MinHash.generator(grams, num_perm=BANDS * ROWS, hashfunc=xxh32_intdigest)
    return np.array([one.hashvalues for one in made])


def datasketch(folder: Path, out: Path) -> None:
    from multiprocessing import Pool

    from datasketch import LeanMinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    with (out / "kept.jsonl").open("w") as file, Pool(2) as pool:
        for part, values in pool.imap(sketched, parts(peer_lines(folder), 2000)):
            for (id, _, line), row in zip(part, values, strict=True):
                sketch = LeanMinHash(seed=1, hashvalues=row, scheme="affine32")
                if not index.query(sketch):
                    index.insert(id, sketch, check_duplication=False)
                    file.write(line)


def sketched(part: list[tuple[str, str, str]]) -> tuple[list[tuple[str, str, str]], Any]:
    return part, sketches(part)


def parts(documents: Iterator[tuple[str, str, str]], size: int) -> Iterator[list[tuple[str, str, str]]]:
    from itertools import islice

    while part := list(islice(documents, size)):
        yield part


def rensa(folder: Path, out: Path) -> None:
    from rensa import RMinHashDeduplicator

    deduplicator = RMinHashDeduplicator(THRESHOLD, BANDS * ROWS, True, BANDS)
    with (out / "kept.jsonl").open("w") as file:
        for part in parts(peer_lines(folder), 10_000):
            grams = [(id, [text[at : at + NGRAM] for at in range(len(text) - NGRAM + 1)]) for id, text, _ in part]
            for keep, (_, _, line) in zip(deduplicator.add_pairs(grams), part, strict=True):
                if keep:
                    file.write(line)


SIDES = {"danlu": danlu, "datatrove": datatrove, "text-dedup": text_dedup, "datasketch": datasketch, "rensa": rensa}


def kept_ids(side: str, out: Path) -> set[str]:
    """The ids that a side kept."""
    if side == "text-dedup":
        code = "import sys, datasets; print(*datasets.load_from_disk(sys.argv[1])['id'], sep='\\n')"
        command = [environment("dedup", PEERS), "-c", code, str(out / "saved")]
        return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    files = sorted((out / "kept").glob("*.jsonl")) if side == "datatrove" else [out / "kept.jsonl"]
    return {json.loads(line)["id"] for path in files for line in path.read_text("utf-8").splitlines()}


# Measuring


def run(side: str, folder: Path, out: Path) -> dict[str, float]:
    """Seconds and peak memory (bytes) of one side, from the start of its process to its end."""
    python = sys.executable if side == "danlu" else environment("dedup", PEERS)
    command = [python, __file__, "--side", side, "--folder", str(folder), "--out", str(out)]
    return timed(side, command, out, {f"{name}_NUM_THREADS": "2" for name in ("RAYON", "OMP", "NUMBA")})


def recall(planted: dict[str, float], kept: set[str]) -> dict[str, list[float]]:
    """Of planted pairs by true similarity (from the threshold on): share of which not both stay, and how many."""
    found = defaultdict(list)
    for pair, similarity in planted.items():
        if similarity >= THRESHOLD:
            level = max(level for level in LEVELS if level <= similarity)
            found[f"{level:.2f}"].append(not all(id in kept for id in pair.split()))
    every = [hit for hits in found.values() for hit in hits]
    return {"all": [sum(every) / len(every), len(every)]} | {
        level: [sum(hits) / len(hits), len(hits)] for level, hits in sorted(found.items())
    }


def everything(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, small = Path(temporary) / "full", Path(temporary) / "small"
        folder.mkdir()
        small.mkdir()
        pairs = write_documents(folder, args.documents, args.seed)
        write_documents(small, 300, args.seed)
        print(f"{args.documents} documents, {len(pairs)} planted pairs", file=sys.stderr)
        began = time.perf_counter()
        gone = truth(folder)
        print(f"truth: {len(gone)} to drop, {time.perf_counter() - began:.1f} s", file=sys.stderr)
        ids = {id for id, _, _ in peer_lines(folder)}
        run("danlu", small, Path(temporary) / "warm")
        results = {}
        for side in args.sides:
            out = Path(temporary) / side
            results[side] = figures(side, run(side, folder, out), ids, gone, pairs, out)
            shutil.rmtree(out)
    report(args, results, len(pairs), len(gone))


def figures(
    side: str, measured: dict[str, float], ids: set[str], gone: set[str], pairs: dict[str, float], out: Path
) -> dict[str, Any]:
    kept = kept_ids(side, out)
    assert kept <= ids, f"{side} kept documents that nobody gave it"
    agreed = sum((id in kept) != (id in gone) for id in ids)
    return measured | {
        "documents_per_second": len(ids) / measured["seconds"],
        "kept": len(kept),
        "agreement": agreed / len(ids),
        "recall": recall(pairs, kept),
    }


def report(args: argparse.Namespace, results: dict[str, Any], pairs: int, gone: int) -> None:
    ours = results["danlu"]
    named = [results[side] for side in NAMED if side in results]
    fastest = min(named, key=lambda one: one["seconds"])
    line = {
        "ratio": round(fastest["seconds"] / ours["seconds"], 3),
        "memory_ratio": round(ours["peak_memory"] / fastest["peak_memory"], 3),
        "agreement": round(ours["agreement"], 6),
        "recall": round(ours["recall"]["all"][0], 6),
        "peer_recall": round(max(one["recall"]["all"][0] for one in named), 6),
        "documents_per_second": round(ours["documents_per_second"]),
    }
    if "rensa" in results:
        line["ratio_rensa"] = round(results["rensa"]["seconds"] / ours["seconds"], 3)
    detail = {
        "documents": args.documents, "planted_pairs": pairs, "to_drop": gone, "threshold": THRESHOLD, "ngram": NGRAM,
        "bands": BANDS, "rows": ROWS, "sides": results, "peers": PEERS, "seed": args.seed,
    }  # fmt: skip
    finish("dedup", line, detail, ["numba", "numpy"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000, help="how many documents (default 100,000)")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="sides to run (default all)")
    parser.add_argument("--seed", type=int, default=0, help="of the documents and their edits (default 0)")
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
