"""data.git: one commit's files with their dates, authors and licences; hostile addresses and trees are refused."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from danlu.artifact import Draft
from danlu.data.git import GitSettings, environment, label, matches
from danlu.data.licence import spdx
from danlu.errors import DataError, EndpointError
from danlu.records import Document
from danlu.registry import step_class
from danlu.track import Track

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

PROSE = "檢索增強生成先找出相關的段落，再請模型根據段落回答問題。\n"
MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\nof this software"
WHO = {"GIT_AUTHOR_NAME": "n", "GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "c@example.org"}


class Upstream:
    """A repository to read from. `commit` writes files (None removes one) and commits them."""

    def __init__(self, path: Path, *init: str) -> None:
        self.path = path
        path.mkdir()
        self("init", "--quiet", "--initial-branch=main", *init)

    def __call__(self, *words: str, **env: str) -> str:
        done = subprocess.run(
            ["git", "-C", self.path, "-c", "protocol.file.allow=always", *words],
            capture_output=True, text=True, check=True, env={**os.environ, **WHO, "GIT_AUTHOR_EMAIL": "a@b", **env},
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self, day: int, author: str = "a@example.org", **files: str | bytes | None) -> str:
        for name, content in files.items():
            path = self.path / name.replace("__", ".").replace("_in_", "/")
            path.parent.mkdir(exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        self("add", "--all")
        date = f"2024-01-{day:02}T12:00:00+08:00"
        self(
            "commit",
            "--quiet",
            "-m",
            f"day {day}",
            GIT_AUTHOR_EMAIL=author,
            GIT_AUTHOR_DATE=date,
            GIT_COMMITTER_DATE=date,
        )
        return self("rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path):
    return Upstream(tmp_path / "books")


def test_files_carry_commit_date_authors_and_the_nearest_licence(steps, opened, upstream):
    upstream.commit(1, LICENSE=MIT, a__md=f"# 甲\n\n{PROSE}", b__md=PROSE, 文_in_中__md=PROSE)
    upstream.commit(2, author="b@example.org", a__md=f"# 甲\n\n{PROSE * 2}", LICENSE__md="x")
    commit = upstream.commit(3, law_in_LICENSE="CC0 1.0 Universal", law_in_c__txt=PROSE)
    artifact = steps("data.git", repository=str(upstream.path))
    read = opened(artifact)
    assert {d.id: (d.licence, d.meta["date"], d.meta["authors"]) for d in read.documents} == {
        "books/LICENSE.md": ("MIT", "2024-01-02T12:00:00+08:00", 1),
        "books/a.md": ("MIT", "2024-01-02T12:00:00+08:00", 2),
        "books/b.md": ("MIT", "2024-01-01T12:00:00+08:00", 1),
        "books/law/c.txt": ("CC0-1.0", "2024-01-03T12:00:00+08:00", 1),
        "books/文/中.md": ("MIT", "2024-01-01T12:00:00+08:00", 1),
    }
    first = read.documents[1]
    assert (first.title, first.source, first.meta["path"], first.meta["commit"]) == ("甲", "books/a.md", "a.md", commit)
    assert first.meta["sha256"] == hashlib.sha256((upstream.path / "a.md").read_bytes()).hexdigest()
    assert read.reasons == {"unsupported-format": 2}
    assert artifact.licences == {
        "books (MIT)": {"licence": "MIT", "terms": ""},
        "books (CC0-1.0)": {"licence": "CC0-1.0", "terms": ""},
    }
    told = next(block["text"] for block in artifact.manifest["report"] if block["title"] == "Commit")
    assert commit in told
    assert "--force" in told


def test_what_is_read_is_the_commit_and_not_the_working_tree(steps, opened, upstream):
    old = upstream.commit(1, a__md=PROSE)
    upstream("tag", "-a", "v1", "-m", "one")
    upstream.commit(2, a__md="第二版。\n")
    upstream("branch", "side", old)
    (upstream.path / "a.md").write_text("沒有提交。\n", encoding="utf-8")
    (upstream.path / "new.md").write_text("沒有提交。\n", encoding="utf-8")

    def text(revision, **more):
        return [
            d.text
            for d in opened(steps("data.git", repository=str(upstream.path), revision=revision, **more)).documents
        ]

    assert text("HEAD") == text("main") == ["第二版。\n"]
    assert text("v1") == text("side") == text(old) == text(old[:10]) == text("refs/tags/v1") == [PROSE]
    assert text("HEAD", history=False) == ["第二版。\n"]
    assert text("v1", history=False) == [PROSE]


def test_a_pinned_commit_gives_the_same_bytes_when_the_branch_moves(steps, upstream):
    commit = upstream.commit(1, LICENSE=MIT, a__md=PROSE)
    before = steps("data.git", repository=str(upstream.path), revision=commit).content
    upstream.commit(2, a__md=None, b__md=PROSE)
    assert steps("data.git", repository=str(upstream.path), revision=commit).content == before
    assert steps("data.git", repository=upstream.path.as_uri(), revision=commit).content == before


def test_patterns_sizes_links_submodules_and_pointers_are_drops(steps, opened, upstream, tmp_path):
    other = Upstream(tmp_path / "other")
    other.commit(1, x__md=PROSE)
    (upstream.path / "link.md").symlink_to("/etc/passwd")
    upstream("submodule", "--quiet", "add", str(other.path), "sub")
    upstream.commit(
        1, a__md=PROSE, docs_in_b__md=PROSE, docs_in_c__txt=PROSE, draft_in_d__md=PROSE, big__md=PROSE * 100,
        lfs__md="version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", e__zzz="x",
        docs_in_bad__md=b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    )  # fmt: skip
    read = opened(
        steps("data.git", repository=str(upstream.path), include=["*.md", "docs", "sub", "*.zzz"], exclude=["draft"],
              max_file_bytes=2000)
    )  # fmt: skip
    assert [d.id for d in read.documents] == ["books/a.md", "books/docs/b.md", "books/docs/c.txt"]
    assert {drop.id: drop.reason for drop in read.dropped} == {
        "books/.gitmodules": "not-included",
        "books/big.md": "too-large",
        "books/docs/bad.md": "binary",
        "books/draft/d.md": "excluded",
        "books/e.zzz": "unsupported-format",
        "books/lfs.md": "lfs-pointer",
        "books/link.md": "link",
        "books/sub": "submodule",
    }


def test_a_file_changed_only_in_a_merge_has_the_merge_s_date(steps, opened, upstream):
    upstream.commit(1, a__md=PROSE)
    upstream("checkout", "--quiet", "-b", "side")
    upstream.commit(2, author="b@example.org", a__md="甲。\n")
    upstream("checkout", "--quiet", "main")
    upstream.commit(3, author="c@example.org", a__md="乙。\n")
    with pytest.raises(subprocess.CalledProcessError):
        upstream("merge", "side")
    upstream.commit(4, author="d@example.org", a__md="丙。\n")
    document = opened(steps("data.git", repository=str(upstream.path))).documents[0]
    assert (document.meta["date"], document.meta["authors"]) == ("2024-01-04T12:00:00+08:00", 4)


def test_sha256_repositories_are_read(steps, opened, tmp_path):
    upstream = Upstream(tmp_path / "new", "--object-format=sha256")
    commit = upstream.commit(1, a__md=PROSE)
    assert len(commit) == 64
    assert opened(steps("data.git", repository=str(upstream.path))).documents[0].meta["commit"] == commit


def test_strange_names_of_files_stay_apart(steps, opened, upstream):
    names = ["a\nb.md", "\x01x.md", " .md", "-rf.md", "a\tb.md", '"q".md']
    for name in names:
        (upstream.path / name).write_text(PROSE, encoding="utf-8")
    (Path(os.fsdecode(os.fsencode(upstream.path) + b"/\xff.md"))).write_text(PROSE, encoding="utf-8")
    upstream.commit(1)
    read = opened(steps("data.git", repository=str(upstream.path)))
    assert {d.meta["path"] for d in read.documents} == {*names, "\\xff.md"}
    assert {d.meta["date"] for d in read.documents} == {"2024-01-01T12:00:00+08:00"}


def test_nothing_of_the_repository_is_run(steps, upstream, tmp_path):
    """Hooks, filters, a file-system monitor and an ssh command in the repository's own configuration stay dead."""
    trap = tmp_path / "trap"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {trap}\n", encoding="utf-8")
    script.chmod(0o755)
    upstream.commit(1, a__md=PROSE, __gitattributes="*.md filter=evil diff=evil\n")
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc", "fsmonitor-watchman"):
        shutil.copy(script, upstream.path / ".git" / "hooks" / hook)
    for key in ("core.fsmonitor", "filter.evil.smudge", "diff.evil.textconv", "core.sshCommand", "core.pager",
                "uploadpack.packObjectsHook", "core.alternateRefsCommand"):  # fmt: skip
        upstream("config", key, str(script))
    trap.unlink(missing_ok=True)
    steps("data.git", repository=str(upstream.path))
    assert not trap.exists()


@pytest.mark.parametrize(
    "repository",
    [
        "ext::sh -c touch% /tmp/pwned",
        "EXT::sh",
        "fd::17",
        "--upload-pack=touch /tmp/pwned",
        "http://example.org/a.git",
        "git://example.org/a.git",
        "ftp://example.org/a.git",
        "https://user:hunter2@example.org/a.git",
    ],
)
def test_addresses_that_run_or_leak_something_are_refused(repository):
    with pytest.raises(ValidationError) as caught:
        GitSettings(repository=repository)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValidationError):
        GitSettings(repository="books", revision="--output=/tmp/x")


def test_git_itself_allows_three_protocols_and_asks_nobody(upstream, tmp_path, monkeypatch):
    """The allow list holds even when the user's own configuration rewrites an address to another protocol."""
    config = tmp_path / "config"
    marker = tmp_path / "ran"
    config.write_text(f'[url "ext::touch {marker} "]\n\tinsteadOf = https://example.org/\n', encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    step = step_class("data.git")(GitSettings(repository="https://example.org/a.git"))
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(EndpointError, match="transport 'ext' not allowed"):
        step.run({}, Draft(tmp_path / "draft", work), Track(quiet=True))
    assert not marker.exists()
    assert environment()["GIT_TERMINAL_PROMPT"] == "0"
    assert "GIT_DIR" not in environment()


def test_errors_say_what_is_wrong_and_what_is_near(steps, upstream, tmp_path):
    upstream.commit(1, a__md=PROSE)
    repository = str(upstream.path)
    with pytest.raises(DataError, match="no revision 'maim'") as caught:
        steps("data.git", repository=repository, revision="maim")
    assert caught.value.problem.nearest == "main"
    with pytest.raises(DataError, match="no revision 'deadbeef'"):
        steps("data.git", repository=repository, revision="deadbeef")
    with pytest.raises(DataError, match=f"no revision '{'0' * 40}'"):
        steps("data.git", repository=repository, revision="0" * 40)
    with pytest.raises(DataError, match="no such folder"):
        steps("data.git", repository=str(tmp_path / "nowhere"))
    with pytest.raises(EndpointError, match="git ls-remote"):
        steps("data.git", repository=str(tmp_path))
    with pytest.raises(DataError, match="not-included 1"):
        steps("data.git", repository=repository, include=["*.txt"])
    with pytest.raises(DataError, match="larger than max_bytes"):
        steps("data.git", repository=repository, max_bytes=1)
    upstream.commit(2, b__md="甲" * 100_000)
    with pytest.raises(DataError, match="more than max_bytes"):
        steps("data.git", repository=repository, max_bytes=200_000)
    Upstream(tmp_path / "empty")
    with pytest.raises(DataError, match="has no commit"):
        steps("data.git", repository=str(tmp_path / "empty"))


def test_a_silent_server_is_left_after_the_timeout(steps, tmp_path, monkeypatch):
    """An ssh that never answers is ended, with its children."""
    script = tmp_path / "ssh"
    script.write_text("#!/bin/sh\nsleep 600 & wait\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    with pytest.raises(EndpointError, match=r"more than 0\.3 seconds"):
        steps("data.git", repository="ssh://git@example.org/a.git", timeout=0.3)


def test_a_killed_run_goes_on_with_the_commit_that_it_saw(steps, upstream, tmp_path, monkeypatch):
    """The branch moves between the kill and the second attempt: what was fetched is what is read."""
    seen = upstream.commit(1, a__md=PROSE)
    monkeypatch.setattr("danlu.data.git.read_all", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        steps("data.git", repository=str(upstream.path))
    monkeypatch.undo()
    upstream.commit(2, a__md="第二版。\n")
    artifact = steps("data.git", repository=str(upstream.path))
    assert f'"commit": "{seen}"' in artifact.file("documents.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("https://github.com/owner/name.git", "github.com/owner/name"),
        ("https://me@git.example.org/a/b/", "git.example.org/a/b"),
        ("ssh://git@example.org:22/a.git", "example.org:22/a"),
        ("git@example.org:owner/name.git", "example.org/owner/name"),
        ("file:///srv/books.git", "books"),
        ("/srv/books/.git", "books"),
        ("../books", "books"),
    ],
)
def test_a_repository_s_short_name(repository, name):
    assert label(repository) == name
    GitSettings(repository=repository)


@given(st.lists(st.text("ab中", min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_path_matches_by_itself_by_a_name_and_by_a_folder_above_it(parts):
    path = "/".join(parts)
    for depth, part in enumerate(parts, 1):
        assert matches(path, (part,))
        assert matches(path, ("/".join(parts[:depth]) + "/",))
        assert matches(path, (part[:1] + "*",))
    assert not matches(path, ("zz",))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SPDX-License-Identifier: Apache-2.0 OR MIT", "Apache-2.0 OR MIT"),
        (
            "                              Apache License\n                        Version 2.0, January 2004",
            "Apache-2.0",
        ),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\n   Version 3, 19 November 2007", "AGPL-3.0"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n   Version 3\n\n GNU General Public License, version 3", "LGPL-3.0"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International", "CC-BY-NC-SA-4.0"),
        ("Attribution 4.0 International", "CC-BY-4.0"),
        ("Redistributions of source code must retain the above copyright notice", "BSD-2-Clause"),
        (
            "Redistributions of source code must retain … Neither the name of X nor the names of its contributors "
            "may be used to endorse or promote products",
            "BSD-3-Clause",
        ),
        (MIT, "MIT"),
        (MIT + " … Redistributions of source code must retain", "BSD-2-Clause AND MIT"),
        ("All rights reserved.", "unknown"),
        ("", "unknown"),
    ],
)
def test_licences_are_told_by_their_words(text, name):
    assert spdx(text) == name


def test_a_document_of_a_real_corpus_licence(shared):
    found = {path: spdx(path.read_text(encoding="utf-8", errors="replace")) for path in shared.glob("*/*/LICENSE*")}
    assert len(found) > 15
    assert not [path for path, name in found.items() if name == "unknown"]


def test_documents_are_valid_records(steps, upstream):
    upstream.commit(1, a__md=PROSE)
    artifact = steps("data.git", repository=str(upstream.path))
    Document.model_validate_json(artifact.file("documents.jsonl").read_text(encoding="utf-8"))
