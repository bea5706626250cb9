"""The engine under every method: each request paid once, in order, within a budget, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from teacher import Teacher

from danlu.artifact import Draft
from danlu.data.asking import Asking
from danlu.data.journal import Journal, Reply
from danlu.data.requests import Failure, Ledger, Request, ledger
from danlu.errors import DataError, EndpointError, GateError, ModelError
from danlu.model.chat import Delta, Options, PromptTooLong, Usage
from danlu.model.endpoint import Passing, Refused
from danlu.model.named import Opened, problem
from danlu.records import Example, Message, write_jsonl
from danlu.track import Track

QUIET = Track(quiet=True)


def user(text: str, n: int = 0) -> Request:
    return Request((Message(role="user", content=text),), Options(max_tokens=10), n)


class Told:
    """A Chat that answers a question with its echo, after what `before` does; keeps the questions asked."""

    def __init__(self, before: Callable[[str, int], object] = lambda text, turn: None) -> None:
        self.before = before
        self.asked: list[str] = []

    def stream(self, messages, options=None) -> Iterator[Delta]:
        text = messages[-1].content
        turn = self.asked.count(text)
        self.asked.append(text)
        self.before(text, turn)
        yield Delta(f"{text}!")
        yield Delta(finish="stop", usage=Usage(10, 5))


def asking(chat, path: Path, at_once: int = 4, **settings: object) -> Ledger:
    told = Asking(chat="smollm2-135m-instruct", **settings)  # type: ignore[arg-type]
    return Ledger(Opened(chat, "chat", at_once), told, path, "test", QUIET)


# --- the journal ---


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=8), st.integers(0, 400), st.binary(max_size=30))
def test_a_journal_cut_anywhere_holds_every_whole_line(tmp_path_factory, texts, cut, rubbish):
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    journal = Journal(path)
    for at, text in enumerate(texts):
        journal.put(f"{at:032x}", Reply(text, "stop", at, 1))
    journal.close()
    whole = path.read_bytes()[:cut]
    path.write_bytes(whole + rubbish.replace(b"\n", b""))
    again = Journal(path)
    kept = whole.count(b"\n")
    assert len(again) == kept
    assert [again[f"{at:032x}"].text for at in range(kept)] == texts[:kept]
    again.put("f" * 32, Reply("new"))
    again.close()
    last = Journal(path)
    assert (len(last), last["f" * 32].text) == (kept + 1, "new")
    assert last.prompt_tokens == sum(range(kept))
    last.close()


def test_a_damaged_line_in_the_middle_is_asked_again(tmp_path):
    chat = Told()
    with asking(chat, tmp_path / "j") as led:
        list(led.ask([user("a"), user("b"), user("c")]))
    lines = (tmp_path / "j").read_bytes().split(b"\n")
    (tmp_path / "j").write_bytes(b"\n".join([lines[0], b"\0" * 40, *lines[2:]]))
    with asking(chat, tmp_path / "j") as led:
        assert [reply.text for reply in led.ask([user("a"), user("b"), user("c")])] == ["a!", "b!", "c!"]
    assert sorted(chat.asked) == sorted(["a", "b", "c", json.loads(lines[1])["text"][:-1]])


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "j")
    journal.put("a" * 32, Reply("kept"))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        journal.put("b" * 32, Reply("lost"))
    monkeypatch.undo()
    journal.put("c" * 32, Reply("after"))
    journal.close()
    again = Journal(tmp_path / "j")
    assert ("a" * 32 in again, "b" * 32 in again, again["c" * 32].text) == (True, False, "after")
    again.close()


# --- order, and paying once ---


def test_replies_come_in_order_however_long_each_takes(tmp_path):
    slow = random.Random(0)
    chat = Told(lambda text, turn: time.sleep(slow.random() / 200))
    with asking(chat, tmp_path / "j", at_once=8) as led:
        texts = [f"q{at}" for at in range(100)]
        assert [reply.text for reply in led.ask(user(text) for text in texts)] == [f"{text}!" for text in texts]
        assert led.journal.prompt_tokens == 1000
    assert sorted(chat.asked) == sorted(texts)


def test_the_same_request_is_sent_once_and_another_n_again(tmp_path):
    chat = Told(lambda text, turn: time.sleep(0.01))
    for _ in range(2):
        with asking(chat, tmp_path / "j") as led:
            replies = list(led.ask([user("a"), user("a"), user("a", 1), user("a")]))
        assert [reply.text for reply in replies] == ["a!"] * 4
    assert chat.asked == ["a", "a"]


def test_what_makes_a_request_another_one(tmp_path):
    chat = Told()
    with asking(chat, tmp_path / "j") as led:
        keys = {led._key(user("a")), led._key(user("b")), led._key(user("a", 1))}
        keys.add(led._key(Request(user("a").messages, Options(max_tokens=11))))
        keys.add(led._key(Request(user("a").messages, Options(max_tokens=10, json_schema={"type": "object"}))))
        keys.add(led._key(Request((Message(role="system", content="a"),), Options(max_tokens=10))))
        led.method = "other"
        keys.add(led._key(user("a")))
        led.opened = Opened(chat, "another chat", 1)
        keys.add(led._key(user("a")))
    assert len(keys) == 8


def test_parsing_again_has_its_own_number_and_ends(tmp_path):
    chat = Told()
    with asking(chat, tmp_path / "j", attempts=3) as led:
        tries: list[str] = []

        def parse(text: str) -> str | Failure:
            tries.append(text)
            return Failure("not-json") if text == "bad!" or tries.count(text) < 2 else text

        results = list(led.parsed([user("a"), user("bad"), user("b")], parse))
        assert results == ["a!", Failure("not-json"), "b!"]
        assert len(led.journal) == 2 + 3 + 2


# --- failures ---


def test_passing_failures_are_tried_again_and_counted(tmp_path):
    def before(text: str, turn: int) -> None:
        if turn < 2:
            raise Passing("slow down", "429", wait=0.0) if turn else Passing("oops", "500", wait=0.001)

    chat = Told(before)
    with asking(chat, tmp_path / "j", retries=2) as led:
        assert [reply.text for reply in led.ask([user("a"), user("b")])] == ["a!", "b!"]
        assert led.failures == {"429": 2, "500": 2}


def test_back_off_grows_and_ends_and_what_came_is_kept(tmp_path, monkeypatch):
    waits: list[float] = []

    def before(text: str, turn: int) -> None:
        if text == "b":
            raise Passing("the endpoint timed out", "timeout", where="http://x")

    chat = Told(before)
    with asking(chat, tmp_path / "j", at_once=1, retries=4) as led:
        monkeypatch.setattr(led._stop, "wait", lambda seconds: waits.append(seconds))
        replies = led.ask([user("a"), user("b")])
        assert next(replies).text == "a!"
        with pytest.raises(EndpointError, match=r"timed out \(test: 1 answers are kept\)") as caught:
            next(replies)
        assert "run the same command again" in str(caught.value)
    assert len(waits) == 4
    assert all(0 <= wait <= 0.5 * 2**at for at, wait in enumerate(waits))
    with asking(Told(), tmp_path / "j") as led:
        assert [reply.text for reply in led.ask([user("a"), user("b")])] == ["a!", "b!"]
        assert led.sent == 1


def test_retry_after_holds_back_every_request(tmp_path):
    moments: list[float] = []

    def before(text: str, turn: int) -> None:
        moments.append(time.monotonic())
        if len(moments) == 1:
            raise Passing("slow down", "429", wait=0.3)

    with asking(Told(before), tmp_path / "j", at_once=1) as led:
        list(led.ask([user("a")]))
        led._quiet_until = time.monotonic() + 0.2
        began = time.monotonic()
        list(led.ask([user("b")]))
    assert moments[1] - moments[0] >= 0.3
    assert moments[2] - began >= 0.2


def test_a_request_refused_for_itself_is_told_and_the_rest_goes_on(tmp_path):
    def before(text: str, turn: int) -> None:
        if text == "filtered":
            raise Refused("content policy", 400)
        if text == "long":
            raise PromptTooLong(9000, 4096)

    chat = Told(before)
    with asking(chat, tmp_path / "j") as led:
        found = list(led.parsed([user("a"), user("filtered"), user("long"), user("b")], lambda text: text))
    assert [one if isinstance(one, str) else one.reason for one in found] == ["a!", "refused", "refused", "b!"]
    assert sorted(chat.asked) == ["a", "b", "filtered", "long"]  # a refusal is not asked again


def test_a_refusal_that_would_meet_all_ends_the_step(tmp_path):
    def forbidden(text: str, turn: int) -> None:
        raise Refused("wrong key", 401, next="set the environment variable")

    with asking(Told(forbidden), tmp_path / "j") as led, pytest.raises(EndpointError, match="wrong key"):
        list(led.ask([user("a")]))

    def unsupported(text: str, turn: int) -> None:
        raise Refused("response_format is not supported", 400)

    chat = Told(unsupported)
    with asking(chat, tmp_path / "k") as led, pytest.raises(EndpointError, match="enforce: false"):
        list(led.ask(user(str(at)) for at in range(1000)))
    assert len(chat.asked) < 50


def test_nonsense_is_tried_again(tmp_path):
    def before(text: str, turn: int) -> None:
        if not turn:
            raise EndpointError("broken JSON in the stream")

    with asking(Told(before), tmp_path / "j") as led:
        assert next(iter(led.ask([user("a")]))).text == "a!"
        assert led.failures == {"nonsense": 1}


# --- budgets ---


@pytest.mark.parametrize("at_once", [1, 8])
def test_a_token_budget_is_never_passed_and_a_larger_one_goes_on(tmp_path, at_once):
    """A request may take 5 characters + 4 and 10 tokens of answer; it takes 15."""
    chat = Told(lambda text, turn: time.sleep(0.001))
    texts = [f"q{at:04}" for at in range(40)]
    for budget in (100, 250, 10_000):
        with asking(chat, tmp_path / "j", at_once=at_once, token_budget=budget) as led:
            replies = led.ask(user(text) for text in texts)
            if budget < 10_000:
                with pytest.raises(GateError, match=f"token_budget {budget}") as caught:
                    list(replies)
                assert caught.value.figures["answers"] == len(led.journal) == (budget - 19) // 15 + 1
                assert "every answer is kept" in str(caught.value)
            else:
                assert [reply.text for reply in replies] == [f"{text}!" for text in texts]
            assert led.journal.prompt_tokens + led.journal.completion_tokens <= budget
    assert sorted(chat.asked) == texts


def test_a_cost_budget(tmp_path):
    prices = {"prices": (1000.0, 10_000.0), "cost_budget": 0.25}  # 10 · 0.001 + 5 · 0.01 = 0.06 a request
    with asking(Told(), tmp_path / "j", **prices) as led:
        with pytest.raises(GateError, match=r"cost_budget 0\.25"):
            list(led.ask(user(str(at)) for at in range(9)))
        assert led.cost() <= 0.25
        assert len(led.journal) == 3
    with pytest.raises(ValueError, match="needs prices"):
        Asking(chat="x.gguf", cost_budget=1.0)


def test_what_stands_aside_is_no_part_of_the_identity(tmp_path):
    from danlu.recipe.plan import make_plan
    from danlu.recipe.schema import read_recipe

    (tmp_path / "s.json").write_text("{}", encoding="utf-8")
    (tmp_path / "a.md").write_text("# 甲\n\n文字。\n", encoding="utf-8")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "steps:\n  read: {use: data.read, paths: [a.md]}\n"
        "  ask: {use: data.ask, documents: read, chat: 'script:s.json'}\n",
        encoding="utf-8",
    )

    def identity(*sets: str) -> str:
        return make_plan(read_recipe(recipe, sets)).steps[1].identity({"documents": "x"})

    plain = identity()
    aside = ["ask.token_budget=5", "ask.at_once=2", "ask.key_variable=OTHER", "ask.prices=[1, 2]", "ask.timeout=3"]
    assert identity(*aside) == plain
    assert identity("ask.temperature=0.1") != plain
    (tmp_path / "s.json").write_text('{"a": "b"}', encoding="utf-8")
    assert identity() != plain


# --- names ---


def test_names_that_open_nothing(tmp_path):
    for name in ("gpt-4", "endpoint:http://x/v1", "endpoint:ftp://x/v1#m", "script:none.json", "none.gguf"):
        assert problem(name, str(tmp_path)), name
    assert "holds no key" in problem("endpoint:https://user:secret@x/v1#m", ".")[0]
    assert problem("smollm2-135m", ".")[1] == "smollm2-135m-instruct"
    assert problem("endpoint:http://127.0.0.1:8000/v1#m", ".") is None


def test_a_script_that_is_none(tmp_path, steps):
    (tmp_path / "s.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(DataError, match="a script is a JSON object"):
        steps("data.ask", documents=steps.documents(a="文字" * 99), chat=f"script:{tmp_path / 's.json'}")
    with pytest.raises(ModelError, match="no endpoint"):
        steps("data.ask", documents=steps.documents(a="文字" * 99), chat="gpt")


# --- a real server, and kill -9 ---

CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from one_step import Steps
from danlu.artifact import Artifact
seeds, chat, store = Artifact.load(Path(sys.argv[2])), sys.argv[3], Path(sys.argv[4])
common = dict(chat=chat, at_once=4, retries=9, seed=7)
finished = [Artifact.load(path.parent) for path in store.glob("artifacts/*/artifact.json")]
made = finished[0] if finished else Steps(store)("data.self_instruct", seeds=seeds, count=20, per_round=4, **common)
Steps(store)("data.evolve", examples=made, rounds=1, **common)
"""


def test_a_run_killed_again_and_again_pays_once_and_ends_the_same(tmp_path, steps):
    """Against a real HTTP server with 429s, 500s and slow answers: no request whose answer is in the journal is sent
    again, the rest at most once for each kill, and the artifacts are those of an undisturbed run, byte by byte."""
    seeds = _seeds(steps)
    random_number = random.Random(3)

    def fail(number: int) -> int | None:
        return {3: 429, 8: 500, 12: 503}.get(number % 17)

    with Teacher(fail, slow=0.004) as teacher:
        code = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(seeds.path), teacher.chat]
        subprocess.run([*code, str(tmp_path / "calm")], check=True, timeout=120, capture_output=True)
        calm = teacher.answered.copy()
        assert set(calm.values()) == {1}
        assert teacher.statuses[429] > 3
        assert teacher.statuses[500] > 3
        total = calm.total()
        kills, done = 0, False
        while not done:
            paid, before = _paid(teacher, tmp_path / "stormy"), teacher.asked.copy()
            child = subprocess.Popen([*code, str(tmp_path / "stormy")], stderr=subprocess.PIPE)
            aim = teacher.asked.total() + random_number.randrange(1, max(2, total // 4))
            while child.poll() is None and (kills >= 5 or teacher.asked.total() < aim):
                time.sleep(0.002)
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                kills += 1
            _, errors = child.communicate()
            done = child.returncode == 0
            assert done or child.returncode == -9, errors.decode()
            assert not [name for name in paid if teacher.asked[name] > before[name]], "an answer was paid twice"
        assert kills >= 4
        twice = sum(count - 2 for count in teacher.answered.values())  # once calm, once stormy, else in flight
        assert 0 <= twice <= kills * 4
        assert set(teacher.answered) == set(calm)
    assert _bytes(tmp_path / "calm") == _bytes(tmp_path / "stormy")
    assert len(_bytes(tmp_path / "calm")) == 4


def test_the_key_goes_from_the_environment_to_the_header_and_nowhere_else(tmp_path, steps, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "sk-secret-123")
    with Teacher() as teacher:
        made = steps("data.self_instruct", seeds=_seeds(steps), chat=teacher.chat, count=5, key_variable="TEACHER_KEY")
        assert teacher.keys == {"Bearer sk-secret-123"}
        assert teacher.most_at_once <= 8
    held = b"".join(path.read_bytes() for path in made.path.rglob("*") if path.is_file())
    assert b"sk-secret" not in held
    body = next(iter(teacher.bodies.values()))
    assert body["response_format"]["json_schema"]["strict"] is True


def _seeds(steps):
    with steps.store.draft("seeds") as draft:
        texts = ["什麼是光合作用？", "請寫一首關於秋天的短詩。", "列出三種省電的方法。", "把這句話翻成英文：你好嗎？"]
        talk = [[Message(role="user", content=text), Message(role="assistant", content="好。")] for text in texts]
        write_jsonl(draft.file("examples.jsonl"), [Example(id=f"s{at}", messages=one) for at, one in enumerate(talk)])
        write_jsonl(draft.file("dropped.jsonl"), [])
        return steps.store.commit(draft, {"id": "seeds", "kind": "examples", "step": "test"})


def _paid(teacher: Teacher, store: Path) -> set[str]:
    """The requests whose answers stand in the journals of killed runs."""
    lines = [line for path in store.glob("work/*/*.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    return {teacher.texts[json.loads(line)["text"]] for line in lines}


def _bytes(store: Path) -> dict[str, bytes]:
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in store.glob("artifacts/*/*.jsonl")}


def test_the_context_manager_gives_the_journal_of_the_step(tmp_path):
    (tmp_path / "s.json").write_text('{"a": "b"}', encoding="utf-8")
    told = Asking(chat=f"script:{tmp_path / 's.json'}")
    out = Draft(tmp_path / "draft", tmp_path / "work")
    with ledger(told, out, QUIET, "test") as led:
        assert next(iter(led.ask([user("a")]))).text == "b"
        led.report(out)
    assert (tmp_path / "work" / "test.jsonl").is_file()
    assert out.licences[told.chat] == {"licence": "a script, no model", "terms": ""}
