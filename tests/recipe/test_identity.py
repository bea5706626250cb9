"""What a step's identity is made of, and what it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import danlu
from danlu.recipe.code import closure, code_version
from danlu.recipe.plan import PlannedStep, make_plan
from danlu.recipe.schema import read_recipe
from danlu.track import Track

pytestmark = pytest.mark.usefixtures("toys")
CONTENTS = {"documents": "a" * 64}


def planned(step: int, *sets: str) -> PlannedStep:
    return make_plan(read_recipe(Path("toy.yaml"), sets)).steps[step]


def test_settings_and_the_content_of_inputs_change_it(kitchen: Path) -> None:
    before = planned(1).identity(CONTENTS)
    assert planned(1).identity(CONTENTS) == before
    assert planned(1, "count.rank=9").identity(CONTENTS) != before
    assert planned(1, "seed=8").identity(CONTENTS) != before
    assert planned(1).identity({"documents": "b" * 64}) != before


def test_names_and_order_and_comments_do_not(kitchen: Path) -> None:
    before = planned(1).identity(CONTENTS)
    path = kitchen / "toy.yaml"
    text = path.read_text(encoding="utf-8").replace("read:", "lesen:").replace("documents: read", "documents: lesen")
    path.write_text("# a comment\n" + text.replace("count:", "zaehlen:").replace(": count", ": zaehlen"), "utf-8")
    assert planned(1).identity(CONTENTS) == before


def test_the_bytes_and_names_of_sources_change_it_and_hidden_files_do_not(kitchen: Path) -> None:
    before = planned(0).identity({})
    (kitchen / "texts" / ".hidden").write_text("x")
    (kitchen / "texts" / ".git").mkdir()
    (kitchen / "texts" / ".git" / "config").write_text("x")
    assert planned(0).identity({}) == before
    (kitchen / "texts" / "notes.bak").write_text("x")
    assert planned(0).identity({}) != before
    with_exclude = planned(0, "read.exclude=['*.bak']").identity({})
    (kitchen / "texts" / "notes.bak").write_text("y")
    assert planned(0, "read.exclude=['*.bak']").identity({}) == with_exclude
    (kitchen / "texts" / "notes.bak").unlink()
    (kitchen / "texts" / "a.txt").write_text("changed", encoding="utf-8")
    assert planned(0).identity({}) != before
    (kitchen / "texts" / "a.txt").write_text("丹爐煉丹\n", encoding="utf-8")
    assert planned(0).identity({}) == before
    (kitchen / "texts" / "a.txt").rename(kitchen / "texts" / "c.txt")
    assert planned(0).identity({}) != before


def test_the_fingerprint_of_a_model_changes_it(kitchen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (kitchen / "toy.yaml").write_text("steps: {m: {use: toy.model}}", encoding="utf-8")
    seen = {}
    for weights in ("first", "second"):
        monkeypatch.setattr("danlu.registry.model_fingerprint", lambda name, root, w=weights: w)
        seen[planned(0).identity({})] = weights
    assert len(seen) == 2


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small package laid out like danlu."""
    files = {
        "__init__.py": "__version__ = '1'\n",
        "registry.py": "STEPS = {'b.two': 'danlu.b.two:Two'}\n",
        "a/__init__.py": "",
        "a/one.py": "from danlu import registry\nimport danlu.words.tables\ndef run():\n    from ..late import deep\n",
        "late/__init__.py": "",
        "late/deep.py": "import importlib\n\ndef go():\n    return importlib.import_module('danlu.late.string')\n",
        "late/string.py": "def pick(name):\n    return importlib.import_module(f'danlu.many.{name}')\n",
        "many/__init__.py": "",
        "many/first.py": "",
        "many/second.py": "",
        "words/__init__.py": "",
        "words/tables.py": "",
        "words/terms.tsv": "軟件\t軟體\n",
        "words/more/list.txt": "x",
        "b/__init__.py": "",
        "b/two.py": "import danlu.a.one\n",
    }
    for name, text in files.items():
        path = tmp_path / "danlu" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "danlu"


def version(house: Path, module: str) -> str:
    """The version as a fresh process would see it."""
    from danlu.recipe import code

    for cache in (code._version, code._reaches, code._file_digest):
        cache.cache_clear()
    return code._version(module, house)


def test_the_closure_holds_late_imports_strings_and_packages(house: Path) -> None:
    assert closure("danlu.a.one", house) == {
        "danlu.a", "danlu.a.one", "danlu.registry", "danlu.words", "danlu.words.tables", "danlu.late",
        "danlu.late.deep", "danlu.late.string", "danlu.many", "danlu.many.first", "danlu.many.second",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        *("a/one.py", "a/__init__.py", "late/string.py", "many/second.py"),
        *("words/terms.tsv", "words/more/list.txt", "registry.py"),
    ],
)
def test_a_changed_file_in_the_closure_changes_the_version(house: Path, name: str) -> None:
    before = version(house, "danlu.a.one")
    with (house / name).open("a") as file:
        file.write("\n")
    assert version(house, "danlu.a.one") != before


@pytest.mark.parametrize("name", ["b/two.py", "__init__.py"])
def test_another_rooms_file_does_not(house: Path, name: str) -> None:
    before = version(house, "danlu.a.one")
    with (house / name).open("a") as file:
        file.write("\n")
    assert version(house, "danlu.a.one") == before


def test_the_version_does_not_depend_on_where_danlu_lies(house: Path, tmp_path: Path) -> None:
    before = version(house, "danlu.a.one")
    moved = tmp_path / "elsewhere" / "danlu"
    shutil.copytree(house, moved)
    assert version(moved, "danlu.a.one") == before


def test_a_real_step_reaches_its_own_room_and_no_sibling() -> None:
    reached = closure("danlu.data.read", Path(danlu.__file__).parent)
    assert {"danlu.data.read", "danlu.records", "danlu.artifact"} <= reached
    rooms = {name.split(".")[1] for name in reached if name.count(".") > 1}
    assert rooms <= {"data", "text", "model"}
    assert len(code_version("danlu.data.read")) == 64


def test_a_file_that_may_not_be_read_does_not_stop_the_plan(kitchen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from danlu.recipe import plan

    def refused(path: Path) -> str:
        if path.name == "a.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return "read"

    monkeypatch.setattr(plan, "file_digest", refused)
    one = plan.source_digest(kitchen / "texts", [], "read.paths", Track(quiet=True))
    monkeypatch.setattr(plan, "file_digest", lambda path: "read")
    assert one != plan.source_digest(kitchen / "texts", [], "read.paths", Track(quiet=True))
