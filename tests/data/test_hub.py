"""data.hub: local folders need no network, code and pickles in them are never run, and offline is one clear error."""

import json
import os
import pickle
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from danlu.data.hub import HubSettings, licence_of
from danlu.errors import DataError, EndpointError
from danlu.records import Document

sys.path.append(str(Path(__file__).resolve().parents[1]))
from blocked_network import attempts, blocked

pytest.importorskip("datasets")

ROWS = [
    {"text": "檢索增強生成先找出相關的段落。", "name": "甲", "code": "a", "day": "2024-05-01"},
    {"text": "再請模型根據段落回答問題。", "name": "乙", "code": "b", "day": "2024-05-02"},
    {"text": " ", "name": "丙", "code": "c", "day": ""},
    {"text": "重複。", "name": "丁", "code": "a", "day": ""},
]
CARD = "---\nlicense: cc-by-sa-4.0\npretty_name: 書\n---\n# 書\n"


@pytest.fixture
def folder(tmp_path):
    """A factory of folders laid out as datasets: file name → rows or text."""

    def make(name: str = "books", **files) -> Path:
        root = tmp_path / name
        for file, content in files.items():
            path = root / file.replace("__", ".").replace("_in_", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, content)
        return root

    return make


def _write(path: Path, content) -> None:
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), encoding="utf-8")
    else:
        import polars

        table = polars.DataFrame(content)
        table.write_parquet(path) if path.suffix == ".parquet" else table.write_csv(path)


@pytest.mark.parametrize("file", ["train__jsonl", "data_in_train-00000-of-00001__parquet", "train__csv"])
def test_rows_become_documents(steps, opened, folder, file):
    root = folder(README__md=CARD, **{file: ROWS})
    artifact = steps("data.hub", folder=root, title="name", date="day", keep="code", id="code")
    read = opened(artifact)
    first, second = read.documents
    assert (first.id, first.text, first.title, first.source) == ("books/train#a", ROWS[0]["text"], "甲", "books/train")
    assert first.licence == "CC-BY-SA-4.0"
    meta = {"lines": [1, 1], "date": "2024-05-01", "dataset": "books", "columns": {"code": "a"}}
    assert first.meta.items() >= meta.items()
    assert second.meta["lines"] == [2, 2]
    assert read.reasons == {"empty": 1, "repeated-id": 1}
    assert artifact.licences == {"books": {"licence": "CC-BY-SA-4.0", "terms": ""}}
    assert HubSettings(dataset="./books").folder == Path("books")


def test_all_formats_give_the_same_texts_in_the_same_order(steps, opened, folder):
    texts = [
        [(d.id, d.text) for d in opened(steps("data.hub", folder=folder(f"{n}/books", **{file: ROWS}))).documents]
        for n, file in enumerate(["train__jsonl", "train__parquet", "train__csv"])
    ]
    assert texts[0] == texts[1] == texts[2]
    assert [id for id, _ in texts[0]] == ["books/train#row 1", "books/train#row 2", "books/train#row 4"]


def test_splits_configurations_and_columns_by_name(steps, opened, folder):
    card = (
        "---\nlicense: [mit, apache-2.0]\nconfigs:\n- config_name: zh\n  data_files:\n"
        "  - {split: train, path: zh/*.jsonl}\n  - {split: test, path: zh-test.jsonl}\n"
        "- config_name: en\n  data_files: en.jsonl\n---\n"
    )
    one, two = [{"body": "甲。", "a": 1}], [{"body": "乙。", "a": 2}]
    root = folder(README__md=card, zh_in_1__jsonl=one, zh_in_2__jsonl=two, **{"zh-test__jsonl": two, "en__jsonl": two})
    read = opened(steps("data.hub", folder=root, config="zh", text=["body", "a"]))
    assert [(d.id, d.text, d.licence) for d in read.documents] == [
        ("books/zh/train#row 1", "甲。\n\n1", "MIT AND Apache-2.0"),
        ("books/zh/train#row 2", "乙。\n\n2", "MIT AND Apache-2.0"),
    ]
    assert opened(steps("data.hub", folder=root, config="zh", split="test")).documents[0].text == "乙。"
    cases = [
        ({"config": "zn"}, "no configuration 'zn'; there are zh, en", "zh"),
        ({}, "no configuration ''", None),
        ({"config": "zh", "split": "tset"}, "no split 'tset'; there are train, test", "test"),
        ({"config": "zh", "text": "boddy"}, "no column 'boddy'; there are body, a", "body"),
    ]
    for more, what, near in cases:
        with pytest.raises(DataError, match=what) as caught:
            steps("data.hub", folder=root, **more)
        assert near is None or caught.value.problem.nearest == near


def test_folders_that_cannot_be_read(steps, folder, tmp_path):
    cases = [
        (folder("bad", train__jsonl='{"text": "a"}\nnot json\n'), "the rows cannot be read"),
        (folder("nothing", README__md="# x\n"), "no file of data"),
        (folder("blank", train__jsonl=[{"text": " "}]), "empty 1"),
        (folder("odd", train__jsonl=[{"a": "x", "b": 1}]), "no column is named like a text; there are a, b"),
        (folder("xml", train__xml="<a>b</a>"), "kind 'xml' is not read"),
        (tmp_path / "bod", "no such folder"),
    ]
    for root, what in cases:
        with pytest.raises(DataError, match=what):
            steps("data.hub", folder=root)


class Trap:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_code_and_pickles_are_never_run(steps, opened, folder, tmp_path):
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')\n"
    root = folder(train__jsonl=ROWS, load__py=code, __init____py=code)
    assert opened(steps("data.hub", folder=root)).kept == 3
    with pytest.raises(DataError, match="scripts are no longer supported"):
        steps("data.hub", folder=folder("script", train__jsonl=ROWS, script__py=code))
    for name in ("train.pkl", "train.pickle"):
        root = folder(f"pickled-{name}")
        root.mkdir()
        (root / name).write_bytes(pickle.dumps(Trap(ran)))
        with pytest.raises(DataError):
            steps("data.hub", folder=root)
    assert not ran.exists()


@pytest.mark.parametrize(
    "path", ["https://example.org/a.jsonl", "/etc/passwd", "../other/*.jsonl", "zip://a::http://h/b", "~/a"]
)
def test_a_card_that_names_files_elsewhere_is_refused(steps, folder, path):
    folder("other", a__jsonl=ROWS)
    root = folder(README__md=f"---\nconfigs:\n- config_name: x\n  data_files: '{path}'\n---\n", train__jsonl=ROWS)
    with pytest.raises(DataError, match="names a file outside of the folder"):
        steps("data.hub", folder=root)


def test_offline_is_one_clear_error_with_the_next_command(steps, monkeypatch):
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EndpointError, match="the hub cannot be reached") as caught:
        steps("data.hub", dataset="org/books")
    assert "hf download --repo-type dataset org/books --local-dir DIR" in str(caught.value)


SCRIPT = """
import json, sys
from pathlib import Path
from danlu.artifact import Draft
from danlu.errors import DataError
from danlu.registry import step_class
from danlu.track import Track
kind = step_class("data.hub")
for number, settings in enumerate(json.loads(sys.argv[2])):
    root = Path(sys.argv[1], str(number))
    root.mkdir()
    draft = Draft(root, root)
    try:
        kind(kind.Settings(**settings)).run({}, draft, Track(quiet=True))
    except DataError as error:
        print(error)
    Path(root, "draft.json").write_text(json.dumps([draft.licences, draft.report]))
    print("done", number, flush=True)
"""


@pytest.fixture
def hub():
    """A hub on loopback with one dataset, org/books; its `log` are the paths that it was asked for."""
    commit = "a" * 40
    files = {"README.md": CARD.encode(), "train.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode()}
    log = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            path, _, _ = self.path.partition("?")
            log.append(path)
            name = path.rpartition("/resolve/")[2].partition("/")[2]
            if "/resolve/" in path and name in files and path.startswith("/datasets/org/books/"):
                return 200, files[name]
            if path.startswith("/api/datasets/org/books/tree/"):
                whole = [{"type": "file", "path": name, "size": len(data), "oid": "b"} for name, data in files.items()]
                return 200, json.dumps(whole if path.endswith(commit) else []).encode()
            if path.startswith("/api/datasets/org/books"):
                inner = [{"rfilename": name} for name in files]
                return 200, json.dumps({"id": "org/books", "sha": commit, "siblings": inner, "tags": []}).encode()
            return 404, b""

        def do_GET(self):
            status, body = self.answer()
            self.send_response(status)
            missing = {"X-Error-Code": "EntryNotFound" if "/org/books" in self.path else "RepoNotFound"}
            more = {"X-Repo-Commit": commit, "ETag": '"e"'} if status == 200 else missing
            for name, value in {"Content-Length": str(len(body)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", log=log, commit=commit)
    server.shutdown()
    server.server_close()


def test_a_folder_needs_no_network_and_an_id_asks_the_hub_alone(folder, tmp_path, hub):
    """In a process that reaches nothing but loopback: a folder is read without a word to anybody; a dataset on the hub
    is streamed, and nothing but that dataset is asked for."""
    outside = {name: text for name, text in os.environ.items() if not name.startswith("HF_")}
    books = str(folder(README__md=CARD, train__jsonl=ROWS))
    asked = [{"folder": books}, {"dataset": "org/books", "title": "name"}, {"dataset": "org/boks"}]
    home = {"HF_HOME": str(tmp_path / "home"), "HOME": str(tmp_path), "HF_ENDPOINT": hub.url}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), json.dumps(asked)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**outside, **blocked(tmp_path), **home},
    )  # fmt: skip
    assert process.stdout.readline() == "done 0\n"
    assert hub.log == []
    told, noise = process.communicate(timeout=120)
    assert process.returncode == 0, noise
    assert attempts(tmp_path) == []
    read = [
        [Document.model_validate_json(line) for line in (tmp_path / str(n) / "documents.jsonl").open()] for n in (0, 1)
    ]
    assert [d.text for d in read[0]] == [d.text for d in read[1]]
    assert (read[1][0].id, read[1][0].licence, read[1][0].title) == ("org/books/train#row 1", "CC-BY-SA-4.0", "甲")
    assert read[1][0].meta["revision"] == hub.commit
    licences, report = json.loads((tmp_path / "1" / "draft.json").read_text())
    assert licences["org/books"] == {"licence": "CC-BY-SA-4.0", "terms": "https://huggingface.co/datasets/org/books"}
    assert "--force" in report[-1]["text"]
    assert "org/boks: no such dataset" in told
    assert not [path for path in hub.log if "/org/books" not in path and "/org/boks" not in path]


@pytest.mark.parametrize("given", [{}, {"dataset": "a b"}, {"dataset": "a/b/c"}, {"dataset": "a", "folder": "b"},
                                   {"folder": "b", "revision": "main"}])  # fmt: skip
def test_settings(given):
    with pytest.raises(ValidationError):
        HubSettings(**given)


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ({}, "unknown"),
        ({"license": "apache-2.0"}, "Apache-2.0"),
        ({"license": "cc0-1.0"}, "CC0-1.0"),
        ({"license": "bsd-3-clause"}, "BSD-3-Clause"),
        ({"license": "other", "license_name": "ogdl-taiwan-1.0"}, "ogdl-taiwan-1.0"),
        ({"license": "llama3"}, "llama3"),
        ({"license": ["mit", "mit"]}, "MIT"),
    ],
)
def test_the_licence_of_a_card(card, told):
    assert licence_of(card) == told
