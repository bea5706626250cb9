"""Secrets: recall and precision by kind on a set made from a seed, look-alikes, and a peer on the same lines."""

import random
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from secret_cases import SECRETS, harmless, secret

from danlu.text import credentials

LEAST = 0.98


@pytest.mark.parametrize("seed", [0, 1])
def test_recall_and_precision_by_kind(seed):
    rng = random.Random(seed)
    right: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for kind in SECRETS:
        for _ in range(60):
            text, start, end = secret(rng, kind)
            for hit in credentials.report(text):
                told[hit.type] += 1
                right[hit.type] += (hit.type, hit.start, hit.end) == (kind, start, end)
    for _ in range(1200):
        told.update(hit.type for hit in credentials.report(harmless(rng)))
    assert set(SECRETS) == set(credentials.TYPES)
    print(f"\n60 of each kind, 1,200 look-alikes, seed {seed}")
    table = {kind: (right[kind] / 60, right[kind] / max(1, told[kind])) for kind in SECRETS}
    for kind, (recall, precision) in table.items():
        print(f"  {kind:20} recall {recall:.3f}  precision {precision:.3f}")
    assert not {kind: row for kind, row in table.items() if min(row) < LEAST}


@pytest.mark.parametrize(
    "text",
    [
        "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
        "password = os.environ['DB_PASSWORD']",
        "password: ${DB_PASSWORD}",
        "密碼：至少八個字元，須含數字",
        "postgresql://user:password@localhost/db",
        "https://example.com:8080/?mail=amy@gmail.com",
        "token: ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "max_tokens: 4096, eos_token: </s>, tokenizer = BertTokenizer",
        "權杖（token）是模型處理文字的單位",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "id 3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "token = tokens[0]; key = value; secret = settings.SECRET_KEY",
    ],
)
def test_look_alikes_are_no_hits(text):
    assert credentials.report(text) == []


def test_a_private_key_is_one_hit_to_its_footer_or_its_last_line():
    body = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"] * 3)
    whole = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    torn = f"-----BEGIN RSA PRIVATE KEY-----\n{body}"
    text = f"甲\n{whole}\n乙\n{torn}\n以上就是全部。"
    assert [text[hit.start : hit.end] for hit in credentials.report(text)] == [whole, torn]


def test_only_the_secret_is_told_not_what_stands_around():
    text = "DATABASE_URL=postgres://app:S3cr3t!pw@db:5432/x # 密碼：`Abc123!@#`"
    assert [text[hit.start : hit.end] for hit in credentials.report(text)] == ["S3cr3t!pw", "Abc123!@#"]


@given(st.text(max_size=80) | st.text(string.printable + "密碼：金鑰", max_size=80))
def test_any_text_is_reported_in_order_without_overlap_and_within(text):
    ends = [0]
    for hit in credentials.report(text):
        assert ends[-1] <= hit.start < hit.end <= len(text)
        assert hit.type in credentials.TYPES
        ends.append(hit.end)


def test_entropy():
    assert credentials.entropy("") == 0
    assert credentials.entropy("aaaa") == 0
    assert credentials.entropy("abcd") == 2
    assert credentials.entropy("aabb") == 1


def test_beside_detect_secrets():
    """The same lines to Yelp's detect-secrets (its shaped plugins and its keyword plugin): we find no less of any kind
    that it knows, and take no more of the look-alikes for secrets."""
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import transient_settings

    names = (
        "ArtifactoryDetector AWSKeyDetector AzureStorageKeyDetector BasicAuthDetector GitHubTokenDetector "
        "GitLabTokenDetector JwtTokenDetector KeywordDetector NpmDetector OpenAIDetector PrivateKeyDetector "
        "SendGridDetector SlackDetector StripeDetector TelegramBotTokenDetector"
    )
    rng = random.Random(5)
    lines = {kind: [secret(rng, kind)[0].split("\n")[0] for _ in range(25)] for kind in SECRETS}
    for kind in ("secret-private-key",):
        lines[kind] = [secret(rng, kind)[0] for _ in range(25)]
    look = [harmless(rng) for _ in range(400)]
    with transient_settings({"plugins_used": [{"name": name} for name in names.split()]}):

        def theirs(text: str) -> bool:
            return any(True for line in text.splitlines() for _ in scan_line(line))

        print("\nshare of texts told, ours / detect-secrets")
        for kind, texts in lines.items():
            ours = sum(bool(credentials.report(text)) for text in texts) / len(texts)
            peer = sum(map(theirs, texts)) / len(texts)
            print(f"  {kind:20} {ours:.2f} / {peer:.2f}")
            assert ours >= peer
        ours = sum(bool(credentials.report(text)) for text in look) / len(look)
        peer = sum(map(theirs, look)) / len(look)
        print(f"  {'look-alikes':20} {ours:.2f} / {peer:.2f}")
        assert ours <= peer
