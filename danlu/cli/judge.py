"""`danlu judge A [B]`: a model judges answers, in pairs or one by one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import UsageError

if TYPE_CHECKING:
    from danlu.eval.agreement import Agreement
    from danlu.eval.answers import Answers, Item
    from danlu.eval.ask import Asker
    from danlu.eval.cache import Cache
    from danlu.eval.judge import Comparison, Graded, Judge
    from danlu.eval.statistics import Estimate
    from danlu.track import Track

EPILOG = """\
A and B are answers that are there, or models that are asked now:
  answers.jsonl                 lines of {"id", "answer"}, with "prompt" or "turns" if there is no --questions
  a folder or id of results     what `danlu eval` left behind, where the answers are text
  endpoint:URL#MODEL, FILE.gguf, a built-in model, script:FILE.json
  a recipe, an assistant        as in `danlu chat`
CHAT is one of the models. With A and B, each pair is judged in both orders, and a side wins only where both verdicts
name it. With A alone, or --grade, each answer gets a grade from 1 to 10.

examples:
  danlu judge before.jsonl after.jsonl --questions questions.jsonl --judge endpoint:http://127.0.0.1:8000/v1#judge
  danlu judge gemma-3-270m tutor --questions mt_bench_tw/question.jsonl --references reference_answer/human.jsonl \\
      --judge endpoint:https://api.openai.com/v1#gpt-4.1
  danlu judge answers.jsonl --judge models/judge.gguf --json
  danlu judge a.jsonl b.jsonl --judge models/judge.gguf --labels votes.jsonl      does it say what people say?

A run that was stopped goes on where it was: every answer is kept in the folder --out. Exit codes: 0 well, 2 usage,
6 a file is not what it should be, 7 no judgement can be used, 8 the endpoint.
"""


def add(subparsers: Any) -> None:
    from danlu.cli.plan import store_argument

    parser = subparsers.add_parser(
        "judge",
        description="A model judges the answers of others: in pairs, or with grades.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sides", nargs="+", metavar="ANSWERS", help="A, or A and B: whose answers are judged; see below"
    )
    parser.add_argument("--judge", required=True, metavar="CHAT", help="who judges; see below")
    side_arguments(parser)
    parser.add_argument("--references", type=Path, metavar="FILE", help="right answers, as JSONL: id, answer")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="what people said: id, turn, winner; or arena votes"
    )
    parser.add_argument("--grade", action="store_true", help="grades from 1 to 10, also for two sides")
    parser.add_argument("--rubric", type=Path, metavar="FILE", help="a text of your own on what a grade is for")
    parser.add_argument(
        "--attempts", type=_positive, default=2, metavar="N", help="times to ask for a readable verdict"
    )
    parser.add_argument("--judge-tokens", type=_positive, default=1024, metavar="N", help="longest verdict (1024)")
    parser.add_argument("--out", type=Path, default=Path("judged"), metavar="DIR", help="where all is kept (judged/)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    store_argument(parser)
    parser.set_defaults(run=judge)


def side_arguments(parser: argparse.ArgumentParser) -> None:
    """What `judge` and `arena` share."""
    parser.add_argument("--questions", type=Path, metavar="FILE", help="JSONL: id, and turns or prompt")
    parser.add_argument("--task", default="", metavar="NAME", help="which task of results that hold several")
    parser.add_argument("--limit", type=_positive, metavar="N", help="the first N questions only")
    parser.add_argument("--max-tokens", type=_positive, default=512, metavar="N", help="longest answer asked for (512)")
    parser.add_argument("--at-once", type=_positive, default=8, metavar="N", help="requests to an endpoint at once (8)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all that is drawn (0)")


def judge(args: argparse.Namespace) -> int:
    import json

    from danlu.eval.cache import Cache
    from danlu.track import Track

    if len(args.sides) > 2:
        raise UsageError(f"one or two sides are judged, not {len(args.sides)}", next="danlu arena takes more")
    pairwise = len(args.sides) == 2 and not args.grade
    if args.labels and not pairwise:
        raise UsageError("--labels are about pairs: name A and B, without --grade")
    if args.rubric and pairwise:
        raise UsageError("--rubric is for grades", next="add --grade")
    track = Track(quiet=args.json)
    args.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        cache = stack.enter_context(Cache(args.out / "replies.sqlite", track))
        items, sides = gathered(args, cache, track, args.references)
        who = _judge(args, stack, cache, track)
        found = _pairs(args, who, items, sides) if pairwise else _grades(args, who, items, sides)
    found["asked"], found["remembered"] = who.asker.asked, who.asker.known
    (args.out / "judged.json").write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print("\n".join(_told_pairs(found) if pairwise else _told_grades(found)))
        print(f"kept in {args.out}/")
    return 0


def gathered(
    args: argparse.Namespace, cache: Cache, track: Track, references: Path | None = None
) -> tuple[list[Item], list[Answers]]:
    """The questions and the answers of every side; models are asked one after another, and closed again."""
    from danlu.eval.answers import answered, joined, matched, read_items

    given = read_items(args.questions, references) if args.questions else None
    if references is not None and given is None:
        raise UsageError("--references are of --questions")
    ready = {place: answers for place, name in enumerate(args.sides) if (answers := _read(name, args)) is not None}
    if given is None and len(ready) < len(args.sides):
        raise UsageError("models are asked the questions of a file", where="--questions", next="danlu judge --help")
    items = given if given is not None else joined(list(ready.values()))
    items = items[: args.limit]
    sides = []
    for place, name in enumerate(args.sides):
        if place in ready:
            sides.append(ready[place] if given is None else matched(ready[place], given))
            continue
        with ExitStack() as stack:
            asker = _asker(name, args, stack, cache, track)
            sides.append(answered(asker, items, args.max_tokens, seed=args.seed))
    return items, _named_apart(sides, args.sides)


def _read(name: str, args: argparse.Namespace) -> Answers | None:
    """Answers that are there: a file, a folder of results, or an artifact of the store; None for a model."""
    from danlu.eval.answers import read_answers
    from danlu.eval.results import RESULTS

    path = Path(name)
    if path.suffix == ".jsonl" or (path / RESULTS).is_file():
        return read_answers(path, task=args.task)
    held = args.store / "artifacts"
    fitting = [one for one in sorted(held.glob(f"{name}*")) if (one / RESULTS).is_file()] if name.isalnum() else []
    return read_answers(fitting[0], task=args.task) if len(fitting) == 1 else None


def _asker(name: str, args: argparse.Namespace, stack: ExitStack, cache: Cache, track: Track) -> Asker:
    """Whoever `name` is, with a memory."""
    from danlu.artifact import digest
    from danlu.cli.chat import in_store, open_target
    from danlu.eval.ask import Asker
    from danlu.eval.chats import ChatModel
    from danlu.model.named import fingerprint, opened, problem

    if problem(name, ".") is None or name.startswith(("endpoint:", "script:")) or name.endswith(".gguf"):
        who = stack.enter_context(opened(name, args.at_once))  # says what is wrong with such a name
        return Asker(ChatModel(who.chat, name, fingerprint(name, "."), who.at_once), cache, track)
    folder = Path(name) if (Path(name) / "artifact.json").is_file() else in_store(name, args.store)
    target = open_target(str(folder), args.store, rag=True, slots=1)
    stack.callback(target.close)
    return Asker(ChatModel(target.chat, name, digest(folder.resolve().name), 1), cache, track)


def _judge(args: argparse.Namespace, stack: ExitStack, cache: Cache, track: Track) -> Judge:
    from danlu.eval.judge import CRITERIA, Judge

    criteria = args.rubric.read_text(encoding="utf-8-sig") if args.rubric else CRITERIA
    asker = _asker(args.judge, args, stack, cache, track)
    return Judge(asker, args.judge_tokens, args.attempts, seed=args.seed, criteria=criteria)


def _named_apart(sides: Sequence[Answers], given: Sequence[str]) -> list[Answers]:
    """Two sides of one name are called by what the user wrote."""
    from dataclasses import replace

    names = [side.name for side in sides]
    return [
        replace(side, name=word) if names.count(side.name) > 1 else side
        for side, word in zip(sides, given, strict=True)
    ]


def _pairs(args: argparse.Namespace, who: Judge, items: list[Item], sides: list[Answers]) -> dict[str, Any]:
    from danlu.eval.agreement import agreement, read_labels
    from danlu.eval.judge import position, win_rate
    from danlu.records import write_jsonl

    a, b = sides
    found = who.compare(items, a, b)
    write_jsonl(args.out / "comparisons.jsonl", found)
    whole, place = win_rate(found, args.seed), position(found)
    made = {
        **_head(args, items, sides),
        "judged": place.judged,
        "win_rate": {**whole.score().model_dump(), **_bounds(whole.estimate)},
        "wins": whole.wins,
        "ties": whole.ties,
        "losses": whole.losses,
        "p": whole.p,
        "failures": whole.failures,
        "position": {**vars(place), "rest": place.rest},
        "categories": _by_category(found, args.seed),
        "turns": _by_turn(found, args.seed),
    }
    if args.labels:
        labels = read_labels(args.labels, a.name, b.name)
        made["agreement"] = {**_agreement(agreement(found, labels)), "of_others": labels.others}
    return made


def _plain(estimate: Estimate) -> dict[str, Any]:
    """For JSON: what is infinite is not known."""
    import math

    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in vars(estimate).items()
    }


def _bounds(estimate: Estimate) -> dict[str, Any]:
    return {name: value for name, value in _plain(estimate).items() if name in ("low", "high")}


def _head(args: argparse.Namespace, items: Sequence[Item], sides: Sequence[Answers]) -> dict[str, Any]:
    cut = {side.name: side.cut for side in sides if side.cut}
    return {
        "sides": [side.name for side in sides],
        "judge": args.judge,
        "questions": len(items),
        "comparable": sum(len(item.turns) for item in items),
        "cut_answers": cut,
        "seed": args.seed,
    }


def _by_category(found: Sequence[Comparison], seed: int) -> dict[str, Any]:
    """The win rate in each category, where there are several."""
    names = sorted({one.category for one in found})
    return _parts({name or "–": [one for one in found if one.category == name] for name in names}, seed)


def _by_turn(found: Sequence[Comparison], seed: int) -> dict[str, Any]:
    turns = sorted({one.turn for one in found})
    return _parts({str(turn): [one for one in found if one.turn == turn] for turn in turns}, seed)


def _parts(parts: Mapping[str, Sequence[Comparison]], seed: int) -> dict[str, Any]:
    from danlu.eval.judge import win_rate

    if len(parts) < 2:
        return {}
    rates = {
        name: win_rate(part, seed) for name, part in parts.items() if any(not comparison.failed for comparison in part)
    }
    return {
        name: {"value": rate.estimate.value, "stderr": rate.score().stderr, "n": rate.score().n}
        for name, rate in rates.items()
    }


def _agreement(found: Agreement) -> dict[str, Any]:
    return {
        "n": found.n,
        "with_ties": dict(zip(("share", "low", "high"), found.share, strict=True)),
        "n_without_ties": found.n_decided,
        "without_ties": dict(zip(("share", "low", "high"), found.decided, strict=True)) if found.n_decided else None,
        "kappa": _plain(found.kappa) if found.kappa else None,
        "people_alpha": found.people,
        "counts": [[label, verdict, count] for (label, verdict), count in sorted(found.counts.items())],
    }


def _grades(args: argparse.Namespace, who: Judge, items: list[Item], sides: list[Answers]) -> dict[str, Any]:
    from collections import Counter

    from danlu.eval.judge import grade_change, grades
    from danlu.records import write_jsonl

    every: list[list[Graded]] = []
    rows = []
    for side, letter in zip(sides, "ab", strict=False):
        every.append(who.grade(items, side))
        write_jsonl(args.out / f"grades-{letter}.jsonl", every[-1])
        failures = Counter(one.failed for one in every[-1] if one.failed)
        rows.append({"name": side.name, **grades(every[-1]).model_dump(exclude={"name"}), "failures": dict(failures)})
    made = {**_head(args, items, sides), "grades": rows}
    if len(every) == 2:
        change = grade_change(every[0], every[1])
        made["change"] = _plain(change)
    return made


def _told_pairs(found: Mapping[str, Any]) -> list[str]:
    a, b = found["sides"]
    rate, place = found["win_rate"], found["position"]
    lines = [
        f"{b} against {a}, judged by {found['judge']}",
        f"win rate       {rate['value']:.3f}{_error(rate['stderr'])}{_to(rate)}"
        f"   n {rate['n']}   sign test p {found['p']:.3g}   (ties half; higher is better for {b})",
        f"won {found['wins']}   tied {found['ties']}   lost {found['losses']}   of {found['comparable']} turns of "
        f"{found['questions']} questions",
        f"both orders    agreed on {place['agreed']} of {place['judged']}; the first place won {place['first']} times, "
        f"the second {place['second']} (p {place['p']:.3g}); {place['rest']} wavered: those are ties",
    ]
    if found["failures"]:
        told = ", ".join(f"{reason} {count}" for reason, count in found["failures"].items())
        lines.append(f"not judged     {told}: counted, and no score")
    lines += [f"cut            {count} answers of {name} end at --max-tokens" for name, count in _cut(found)]
    for title in ("categories", "turns"):
        lines += [
            f"  {title[:-1] if title == 'turns' else 'in'} {name:<14} {row['value']:.3f}{_error(row['stderr'])}   "
            f"n {row['n']}"
            for name, row in found[title].items()
        ]
    return lines + (_told_agreement(found["agreement"]) if "agreement" in found else [])


def _told_agreement(found: Mapping[str, Any]) -> list[str]:
    lines = [f"with people    {_interval(found['with_ties'])} of {found['n']} labels, ties counted"]
    if found["without_ties"]:
        lines.append(f"               {_interval(found['without_ties'])} of {found['n_without_ties']} without ties")
    if found["kappa"]:
        lines.append(f"kappa          {found['kappa']['value']:.3f} ± {found['kappa']['stderr']:.3f}")
    if found["people_alpha"] is not None:
        lines.append(f"among people   alpha {found['people_alpha']:.3f}")
    if found["of_others"]:
        lines.append(f"               {found['of_others']} labels are about other models")
    return lines


def _told_grades(found: Mapping[str, Any]) -> list[str]:
    lines = [f"grades from 1 to 10 by {found['judge']}, of {found['questions']} questions"]
    for row in found["grades"]:
        told = ", ".join(f"{reason} {count}" for reason, count in row["failures"].items())
        lines.append(
            f"{row['name']:<28} {row['value']:.2f}{_error(row['stderr'], 2)}   n {row['n']}"
            + (f"   not graded: {told}" if told else "")
        )
    if "change" in found:
        change = found["change"]
        lines.append(f"change {change['value']:+.2f}{_error(change['stderr'], 2)}   p {change['p']:.3g}")
    lines += [f"cut  {count} answers of {name} end at --max-tokens" for name, count in _cut(found)]
    return lines


def _cut(found: Mapping[str, Any]) -> list[tuple[str, int]]:
    return list(found["cut_answers"].items())


def _to(rate: Mapping[str, Any]) -> str:
    return "" if rate["low"] is None else f"   95 % {rate['low']:.3f} to {rate['high']:.3f}"


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['share']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _error(error: float | None, places: int = 3) -> str:
    import math

    return f" ± {error:.{places}f}" if error is not None and math.isfinite(error) else ""


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
