"""Every chapter of the first shelf runs, makes a picture, keeps the shape that the demo reads, and fails loudly."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHELF = [
    "start/01-from-need-to-deployment",
    "architecture/01-tokenization",
    "architecture/02-attention",
    "architecture/04-decoding",
    "datasets/01-instruction-datasets",
    "training/03-sft-lora",
    "alignment/01-preference-alignment",
    "evaluation/01-evaluation",
    "compression/01-quantization",
    "compression/05-model-merging",
    "rag/01-rag",
    "serving/02-deployment",
    "security/01-prompt-injection",
]
SECTIONS = [
    "這一章要回答的問題",
    "核心觀念",
    "名詞解釋",
    "動手做",
    "練習",
    "常見陷阱",
    "常見問題",
    "用 Danlu 做真的",
    "延伸閱讀",
]

spec = importlib.util.spec_from_file_location("handbook_run", ROOT / "handbook" / "run.py")
sys.modules["handbook_run"] = book = importlib.util.module_from_spec(spec)
spec.loader.exec_module(book)

FOUND = [p.relative_to(ROOT / "handbook").with_suffix("").as_posix() for p in book.chapters()]


def section(text: str, name: str) -> str:
    return re.split(r"^## ", text.split(f"\n## {name}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_first_shelf_is_full():
    assert len(SHELF) == 13
    assert not set(SHELF) - set(FOUND)


def test_the_table_of_contents_links_every_chapter_and_nothing_else():
    links = re.findall(r"\]\(([^)]+)\.md\)", (ROOT / "handbook" / "README.md").read_text(encoding="utf-8"))
    assert sorted(links) == sorted(FOUND)


@pytest.mark.parametrize("name", sorted({*SHELF, *FOUND}))
def test_chapter_runs_and_draws(name, tmp_path):
    report = book.run_chapter(ROOT / "handbook" / f"{name}.md", out=tmp_path)
    assert not report.error, report.output + report.error
    assert report.cells_run
    assert report.pictures


@pytest.mark.parametrize("name", sorted({*SHELF, *FOUND}))
def test_chapter_has_the_shape_that_the_demo_reads(name):
    prose = book.FENCE.sub("", (ROOT / "handbook" / f"{name}.md").read_text(encoding="utf-8"))
    assert prose.startswith("# ")
    assert len(re.findall(r"[\u4e00-\u9fff]", prose)) >= 1500
    assert re.findall(r"^## (.+)$", prose, re.MULTILINE) == SECTIONS
    assert len(re.findall(r"^### ", section(prose, "核心觀念"), re.MULTILINE)) >= 3
    terms = [line for line in section(prose, "名詞解釋").splitlines() if line.startswith("- ")]
    assert len(terms) >= 10
    assert not [t for t in terms if not re.fullmatch(r"- \*\*.+（.+）\*\*：.+。", t)]
    traps = [line for line in section(prose, "常見陷阱").splitlines() if line.startswith("- ")]
    assert traps
    assert not [t for t in traps if not re.fullmatch(r"- \*\*.+\*\*：.+。", t)]
    asked = re.findall(r"^### (.+)$", section(prose, "常見問題"), re.MULTILINE)
    assert len(asked) >= 8
    assert all(q.endswith("？") for q in asked)


def write(folder: Path, text: str) -> Path:
    chapter = folder / "part" / "01-case.md"
    chapter.parent.mkdir(exist_ok=True)
    chapter.write_text(text, encoding="utf-8")
    return chapter


def test_a_failing_cell_exits_1_and_names_the_line(tmp_path):
    chapter = write(tmp_path, "# t\n\n```python\nx = 1\n```\n\n```python\ndef f():\n    return x / 0\n\nf()\n```\n")
    done = subprocess.run(
        [sys.executable, ROOT / "handbook" / "run.py", chapter, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert f"{chapter}:9: ZeroDivisionError: division by zero (in the cell at line 8)" in done.stdout
    assert "cell at line 4: ok" in done.stdout


@pytest.mark.parametrize(
    ("source", "at", "error"),
    [
        ("x = (\n", 4, "SyntaxError"),
        ("1\nraise SystemExit(0)\n", 5, "SystemExit"),
        ("import os\nos._exit(0)\n", 4, "ended"),
    ],
)
def test_a_cell_that_ends_the_process_is_a_failure(tmp_path, source, at, error):
    report = book.run_chapter(write(tmp_path, f"# t\n\n```python\n{source}```\n"), out=tmp_path / "out")
    assert f":{at}: " in report.error
    assert error in report.error
    assert not report.cells_run


def test_a_heavy_cell_runs_only_when_asked_and_other_fences_never(tmp_path):
    chapter = write(tmp_path, "# t\n```bash\nexit 1\n```\n```python heavy\nprint('slow')\n```\n```\nnot python\n```\n")
    light, heavy = (book.run_chapter(chapter, h, out=tmp_path / "out") for h in (False, True))
    assert (light.cells_run, light.cells_not_run, light.error) == ([], [6], "")
    assert (heavy.cells_run, heavy.cells_not_run, heavy.output.strip()) == ([6], [], "slow")


def test_a_chapter_that_never_ends_is_stopped(tmp_path):
    report = book.run_chapter(write(tmp_path, "```python\nwhile True: pass\n```\n"), out=tmp_path, limit_s=0.5)
    assert ":2: the process ended with 1 (limit 0.5 s)" in report.error
    assert '01-case.md", line 2' in report.output


@pytest.mark.parametrize("text", ["```python\nx = 1\n", "```python hevay\nx = 1\n```\n"])
def test_a_fence_that_is_not_understood_is_refused(tmp_path, text):
    assert book.run_chapter(write(tmp_path, text), out=tmp_path / "out").error
