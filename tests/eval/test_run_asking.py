"""Questions put to a model: each request once, failures counted, a kill costs no answer."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.errors import DataError, EndpointError, ModelError, StorageError
from danlu.eval.ask import Asker, evaluate, refuse_empty
from danlu.eval.cache import Cache, request_digest, result_key
from danlu.eval.fake import Choices
from danlu.model.fake import ScriptedModel
from danlu.model.language_model import Answer, Continuation, Failure, Generation, LogLikelihood, Rolling
from danlu.records import Message
from danlu.track import Track

QUIET = Track(quiet=True)


def question(number: int, answer: str = "A", **more: str) -> dict[str, str]:
    return {"question": f"第 {number} 題？", "A": "甲", "B": "乙", "C": "丙", "D": "丁", "answer": answer, **more}


QUESTIONS = [question(at, "ABCD"[at % 4], subject="math" if at % 2 else "law") for at in range(12)]


def likes(letter: str, **more) -> ScriptedModel:
    return ScriptedModel({letter: 0.9}, **more)


class Flaky:
    """A model of which the calls with these numbers fail."""

    def __init__(self, model: ScriptedModel, failing: dict[int, Failure]) -> None:
        self.model, self.failing, self.calls = model, failing, 0
        self.name, self.fingerprint, self.facts = model.name, model.fingerprint, model.facts
        self.context = model.context

    def answer(self, requests):
        for place, result in self.model.answer(requests):
            self.calls += 1
            yield place, self.failing.get(self.calls, result)

    def count(self, text):
        return self.model.count(text)

    def close(self):
        return


def test_scores_by_task_and_subject() -> None:
    (done,) = evaluate(likes("A"), [Choices(QUESTIONS)])
    (score,) = done.result.scores
    assert (score.value, score.n, score.better, score.version) == (3 / 12, 12, "higher", "1")
    assert score.stderr == pytest.approx((3 / 12 * 9 / 12 / 11) ** 0.5)
    assert {name: scores[0].value for name, scores in done.result.subjects.items()} == {"law": 0.5, "math": 0.0}
    assert done.result.came == 12
    assert done.result.failures == {}
    assert [sample.answer for sample in done.samples] == ["A"] * 12
    assert done.samples[1].values == {"acc": 0.0}
    assert "第 1 題？" in done.samples[1].prompt


def test_the_same_request_is_asked_once_across_questions_and_tasks(tmp_path: Path) -> None:
    twice = [QUESTIONS[0], QUESTIONS[0], QUESTIONS[1]]
    model = likes("A")
    one, other = evaluate(model, [Choices(twice), Choices(QUESTIONS[:2], name="other")])
    assert len(model.asked) == 8
    assert one.result.scores[0].n == 3
    assert other.result.scores[0].n == 2


@given(st.permutations(range(12)), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_order_changes_no_score(order: list[int], shots: int) -> None:
    model = ScriptedModel({"A": 0.2, "B": 0.4, "乙": 0.3})
    plain, mixed = (
        next(evaluate(model, [Choices(questions, shots=shots)]))
        for questions in (QUESTIONS, [QUESTIONS[at] for at in order])
    )
    if shots == 0:
        assert {s.id: s.values for s in plain.samples} == {s.id: s.values for s in mixed.samples}
    assert plain.result.scores == mixed.result.scores


def test_a_failed_request_is_counted_and_never_a_zero(tmp_path: Path) -> None:
    model = Flaky(likes("A"), {2: Failure("timeout", "no answer in 5 s"), 9: Failure("rate-limited", "429")})
    with Cache(tmp_path / "c") as cache:
        (done,) = evaluate(model, [Choices(QUESTIONS)], cache=cache)
        assert done.result.failures == {"rate-limited": 1, "timeout": 1}
        assert done.result.scores[0].n == 10
        assert [sample.failed for sample in done.samples][:3] == ["timeout", "", "rate-limited"]
        assert done.samples[0].values == {}
        assert "timeout, for example: no answer in 5 s" in done.result.notes
        assert len(cache) == 46
        model.failing, model.calls = {}, 0
        (again,) = evaluate(model, [Choices(QUESTIONS)], cache=cache)
    assert model.calls == 2, "only what failed is asked again"
    assert again.result.failures == {}
    assert again.result.scores == next(evaluate(likes("A"), [Choices(QUESTIONS)])).result.scores


class Undefined(Choices):
    """A second metric that has no value."""

    def aggregate(self, docs, scored, seed):
        made = super().aggregate(docs, scored, seed)
        return [*made, made[0].model_copy(update={"name": "mcc", "value": float("nan")})]


def test_a_score_without_a_value_is_said_and_never_a_nan() -> None:
    (done,) = evaluate(likes("A"), [Undefined(QUESTIONS)], track=QUIET)
    assert [score.name for score in done.result.scores] == ["acc"]
    assert {score.name for scores in done.result.subjects.values() for score in scores} == {"acc"}
    assert done.result.notes == ["mcc is not defined on these 12 questions"]


def test_nothing_but_failures_is_an_error() -> None:
    every = {number: Failure("server-error", "500") for number in range(1, 99)}
    (done,) = evaluate(Flaky(likes("A"), every), [Choices(QUESTIONS)])
    assert done.result.scores == []
    with pytest.raises(EndpointError, match="server-error 12"):
        refuse_empty([done.result], "m")
    (short,) = evaluate(likes("A", context=5), [Choices(QUESTIONS)])
    with pytest.raises(ModelError, match="too-long 12") as caught:
        refuse_empty([short.result], "m")
    assert "--fewer-shots" in str(caught.value)


def test_a_context_too_short_for_the_shots_both_ways() -> None:
    task = Choices(QUESTIONS, shots=5)
    longest = [len(task.requests(task.documents()[0], shots, 0)[0].context) + 2 for shots in range(6)]
    model = likes("A", context=longest[2])
    (refused,) = evaluate(model, [task])
    assert refused.result.failures == {"too-long": 12}
    (fewer,) = evaluate(model, [task], fewer_shots=True)
    assert fewer.result.failures == {}
    assert fewer.result.shots == 5
    shots = Counter(one.shots for one in fewer.asked)
    assert set(shots) <= {1, 2}
    assert all(len(one.requests[0].context) + 2 <= longest[2] for one in fewer.asked)
    assert all(len(task.requests(one.doc, one.shots + 1, 0)[0].context) + 2 > longest[2] for one in fewer.asked), (
        "the most examples that fit"
    )
    assert any(f"{shots[2]} of 12 questions with 2 shots instead of 5" in note for note in fewer.result.notes)
    assert fewer.result.prompt != refused.result.prompt


def test_fewer_shots_asks_no_more_than_it_must() -> None:
    task = Choices(QUESTIONS, shots=1)
    roomy = likes("A")
    next(evaluate(roomy, [task], fewer_shots=True))
    assert len(roomy.asked) == 48


def test_a_task_without_questions_is_an_error() -> None:
    with pytest.raises(DataError, match="no question"):
        next(evaluate(likes("A"), [Choices([])]))


def test_a_backend_that_leaves_out_a_request_is_an_error() -> None:
    model = likes("A")
    whole = model.answer
    model.answer = lambda requests: list(whole(requests))[:-1]  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="1 of 48 requests"):
        next(evaluate(model, [Choices(QUESTIONS)]))


# The cache

RESULTS = [
    LogLikelihood(-1.25e-7, True, 3),
    Answer("丹爐\ud800\n", "stop", 4),
    LogLikelihood(-745.1332191019412, False, 1),
]


def test_results_come_back_bit_for_bit(tmp_path: Path) -> None:
    keys = [bytes([at]) * 32 for at in range(3)]
    with Cache(tmp_path / "c") as cache:
        for key, result in zip(keys, RESULTS, strict=True):
            cache.put(key, result)
        cache.put(b"f" * 32, Failure("timeout"))
    with Cache(tmp_path / "c") as cache:
        assert cache.get([*keys, b"f" * 32]) == dict(zip(keys, RESULTS, strict=True))


def test_a_request_is_known_by_all_that_it_says() -> None:
    requests = [
        Continuation("a", "b"),
        Continuation("ab", ""),
        Rolling("ab"),
        Generation("a"),
        Generation("a", stop=("b",)),
        Generation("a", max_tokens=3),
        Generation("a", temperature=0.5),
        Generation("a", seed=1),
        Generation("a", json_schema={"type": "object"}),
        Generation((Message(role="user", content="a"),)),
        Generation((Message(role="system", content="a"),)),
    ]
    digests = [request_digest(request) for request in requests]
    assert len(set(digests)) == len(requests)
    assert digests == [request_digest(request) for request in requests]
    assert result_key("one", digests[0]) != result_key("other", digests[0])


def test_another_model_or_dtype_is_asked_anew_but_not_another_number_of_processes(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        for facts, fingerprint, expected in [
            ({"dtype": "float32", "processes": 1}, "one", 48),
            ({"dtype": "float32", "processes": 4}, "one", 0),
            ({"dtype": "bfloat16", "processes": 4}, "one", 48),
            ({"dtype": "float32", "processes": 1}, "two", 48),
        ]:
            model = likes("A")
            model.facts, model.fingerprint = facts, fingerprint
            next(evaluate(model, [Choices(QUESTIONS)], cache=cache))
            assert len(model.asked) == expected


@pytest.mark.parametrize("damage", ["truncated", "garbage", "overwritten"])
def test_a_damaged_cache_is_set_aside_and_said(damage: str, tmp_path: Path, capfd) -> None:
    path = tmp_path / "c"
    with Cache(path, QUIET) as cache:
        for at in range(2000):
            cache.put(at.to_bytes(32, "big"), Answer("字" * 50, "stop", 50))
    data = path.read_bytes()
    assert len(data) > 100_000
    half = len(data) // 2
    path.write_bytes(
        {
            "truncated": data[: half + 7],
            "garbage": b"not a database" * 999,
            "overwritten": data[:half] + b"\xff" * half,
        }[damage]
    )
    with Cache(path) as cache:
        assert len(cache) == 0
        cache.put(b"k" * 32, RESULTS[0])
    assert "set aside as c.damaged-1" in capfd.readouterr().err
    assert (tmp_path / "c.damaged-1").is_file()
    with Cache(path, QUIET) as cache:
        assert cache.get([b"k" * 32]) == {b"k" * 32: RESULTS[0]}


def test_a_flipped_digit_is_asked_again(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        cache.put(b"k" * 32, LogLikelihood(-1.5, True, 1))
        cache._db.execute("UPDATE results SET value = replace(value, '1.5', '1.4')")
        assert cache.get([b"k" * 32]) == {}


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        Cache(tmp_path / "file" / "c")


@pytest.fixture
def small_disk(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk can only be mounted by root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_full_disk_is_a_storage_error_and_what_was_kept_is_kept(small_disk: Path) -> None:
    def fill() -> int:
        kept = 0
        with Cache(small_disk / "c") as cache:
            for at in range(5000):
                cache.put(at.to_bytes(32, "big"), Answer("字" * 200, "stop", 200))
                kept = at + 1
        return kept

    with pytest.raises(StorageError, match="full"):
        fill()
    subprocess.run(["mount", "-o", "remount,size=30m", str(small_disk)], check=True)
    with Cache(small_disk / "c") as cache:
        count = len(cache)
        assert count > 50
        assert len(cache.get([at.to_bytes(32, "big") for at in range(5000)])) == count


# Killed

SLOW = textwrap.dedent("""
    import json, os, sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[3])
    from danlu.eval.ask import evaluate
    from danlu.eval.cache import Cache, request_digest
    from danlu.eval.fake import Choices
    from danlu.model.fake import ScriptedModel
    from danlu.track import Track
    from test_run_asking import question

    class Slow(ScriptedModel):
        def answer(self, requests):
            for place, request in enumerate(requests):
                with open(sys.argv[2], "a") as log:
                    log.write(request_digest(request).hex() + "\\n")
                time.sleep(0.002)
                yield place, self._answer(request)

    questions = [question(at, "ABCD"[at % 4]) for at in range(60)]
    with Cache(Path(sys.argv[1])) as cache:
        (done,) = evaluate(Slow({"A": 0.3, "B": 0.2}), [Choices(questions, shots=2)], cache=cache)
    print(json.dumps([done.result.model_dump(), [one.model_dump() for one in done.samples]]))
""")


def test_killed_at_any_moment_nothing_is_asked_twice_but_what_was_in_flight(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SLOW)

    def start(name: str) -> subprocess.Popen[str]:
        words = [sys.executable, str(script), str(tmp_path / f"{name}.sqlite"), str(tmp_path / f"{name}.log")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [*words, str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True, env=environment
        )

    calm = start("calm")
    expected, _ = calm.communicate()
    log = tmp_path / "disturbed.log"
    draw, kills = random.Random(4), 0
    for _ in range(4):
        process = start("disturbed")
        before = log.stat().st_size if log.exists() else 0
        while process.poll() is None and (log.stat().st_size if log.exists() else 0) == before:
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.12))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    last = start("disturbed")
    told, _ = last.communicate()
    assert last.returncode == 0
    assert kills >= 2
    assert json.loads(told) == json.loads(expected)
    asked = Counter(log.read_text().split())
    assert len(asked) == 240
    assert sum(asked.values()) - 240 <= kills, "more was asked twice than the one request in flight at each kill"


def test_several_processes_share_one_cache(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    words = [sys.executable, str(script), str(tmp_path / "c"), str(tmp_path / "log"), str(Path(__file__).parent)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert json.loads(told[0]) == json.loads(told[1])
    with Cache(tmp_path / "c") as cache:
        assert len(cache) == 240


def test_the_asker_counts_what_it_asked_and_what_it_knew() -> None:
    asker = Asker(likes("A"), None, QUIET)
    requests = [Continuation("x", "A"), Continuation("x", "B"), Continuation("x", "A")]
    first = asker.ask(requests, "first")
    assert first[0] == first[2] != first[1]
    assert asker.ask(requests, "again") == first
    assert (asker.asked, asker.known) == (2, 2)
