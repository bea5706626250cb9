# ruff: noqa: E501 -- tables of shapes, one a line
"""Secrets made from a seed, the lines that they are left in, and what only looks like one."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid

ALNUM = string.ascii_letters + string.digits
B64 = ALNUM + "+/"


def some(rng: random.Random, count: int, alphabet: str = ALNUM) -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


def b64(rng: random.Random, count: int) -> str:
    return base64.b64encode(rng.randbytes(count)).decode()


def url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def pem(rng: random.Random) -> str:
    body = b64(rng, 600)
    kind = rng.choice(
        ["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]
    )
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----"


def jwt(rng: random.Random) -> str:
    head = url64(json.dumps({"alg": rng.choice(["HS256", "RS256"]), "typ": "JWT"}).encode())
    return f"{head}.{url64(json.dumps({'sub': some(rng, 8), 'iat': rng.randint(10**9, 2 * 10**9)}).encode())}.{url64(rng.randbytes(32))}"


def password(rng: random.Random) -> str:
    return (
        some(rng, 1, string.ascii_uppercase)
        + some(rng, 5, string.ascii_lowercase)
        + some(rng, 3, string.digits)
        + rng.choice("!@#*")
    )


SECRETS = {
    "secret-private-key": pem,
    "secret-aws": lambda rng: rng.choice(["AKIA", "ASIA"]) + some(rng, 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    "secret-google": lambda rng: rng.choice(["AIza" + some(rng, 35, ALNUM + "_-"), "GOCSPX-" + some(rng, 28)]),
    "secret-azure": lambda rng: rng.choice([b64(rng, 64), some(rng, 3) + "8Q~" + some(rng, 34)]),
    "secret-github": lambda rng: rng.choice(["ghp_" + some(rng, 36), "gho_" + some(rng, 36), f"github_pat_{some(rng, 22)}_{some(rng, 59)}"]),
    "secret-gitlab": lambda rng: "glpat-" + some(rng, 20, ALNUM + "_-"),
    "secret-slack": lambda rng: f"xoxb-{some(rng, 12, string.digits)}-{some(rng, 12, string.digits)}-{some(rng, 24)}",
    "secret-openai": lambda rng: rng.choice(["sk-proj-" + some(rng, 64), "sk-" + some(rng, 20) + "T3BlbkFJ" + some(rng, 20)]),
    "secret-anthropic": lambda rng: "sk-ant-api03-" + some(rng, 93, ALNUM + "_-") + "AA",
    "secret-huggingface": lambda rng: "hf_" + some(rng, 34),
    "secret-line": lambda rng: some(rng, 156, B64) + "1O/w1cDnyilFU=",
    "secret-stripe": lambda rng: rng.choice(["sk_live_", "rk_live_"]) + some(rng, 24),
    "secret-jwt": jwt,
    "secret-connection": password,
    "secret-token": lambda rng: rng.choice(["SG." + some(rng, 22) + "." + some(rng, 43), "npm_" + some(rng, 36), some(rng, 9, "123456789") + ":AA" + some(rng, 33), some(rng, 40), some(rng, 32, "0123456789abcdef")]),
    "secret-password": password,
}  # fmt: skip

ANYWHERE = [
    "export KEY={v}", "金鑰不小心貼進文件：{v}", "- `{v}`", "curl -H 'X-Auth: {v}' https://api.internal/", "{v}",
    "const k = \"{v}\";", "（{v}）", "key: {v} # 正式環境",
]  # fmt: skip
LINES = {
    "secret-private-key": ["{v}", "私鑰如下\n{v}\n請勿外流", "key = \"\"\"{v}\"\"\""],
    "secret-azure": ["AccountName=x;AccountKey={v};EndpointSuffix=core.windows.net"],
    "secret-connection": ["postgresql://app:{v}@db.internal:5432/main", "DATABASE_URL=mysql://root:{v}@10.0.0.3/x", "redis://:{v}@cache:6379/0", "amqp://svc:{v}@mq.internal"],
    "secret-token": ["Authorization: Bearer {v}", "api_key = \"{v}\"", "ACCESS_TOKEN={v}", "\"secret\": \"{v}\"", "權杖：{v}"],
    "secret-password": ["DB_PASSWORD={v}", "password: {v}", "密碼：{v}", "\"pwd\": \"{v}\",", "Wi-Fi 密碼是 {v}", "spring.datasource.password={v}", "passwd = '{v}'", "**密碼**：`{v}`"],
}  # fmt: skip


def secret(rng: random.Random, type: str) -> tuple[str, int, int]:
    """A text with one secret of this kind, and where."""
    lines = LINES.get(type, ANYWHERE)
    value = SECRETS[type](rng)
    if type == "secret-azure" and "Q~" in value:
        lines = ANYWHERE
    line = rng.choice(lines)
    start = line.index("{v}")
    return line.replace("{v}", value), start, start + len(value)


def harmless(rng: random.Random) -> str:
    """Something that only looks like a secret."""
    hexes = hashlib.sha256(rng.randbytes(8)).hexdigest()
    return rng.choice([
        f"sha256:{hexes}", f"commit {hexes[:40]}", f"md5 {hexes[:32]}", f"id: {uuid.UUID(bytes=rng.randbytes(16))}",
        f"![圖](data:image/png;base64,{b64(rng, 300)})", "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "password = os.environ['DB_PASSWORD']",
        "password: ${DB_PASSWORD}", "password=<your password>", "api_key = \"YOUR_API_KEY_HERE\"", "token = get_token()",
        "密碼：至少八個字元，須含數字", "請輸入密碼：", "password: str", "def login(user, password=None): ...", "token: ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "postgresql://user:password@localhost/db", "https://example.com:8080/@user", "max_tokens: 4096", "tokenizer = AutoTokenizer",
        f"etag: \"{hexes[:32]}\"", "-----BEGIN PUBLIC KEY-----\n" + b64(rng, 90) + "\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\n" + b64(rng, 90) + "\n-----END CERTIFICATE-----", f"integrity=\"sha384-{b64(rng, 48)}\"",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", "secret = settings.SECRET_KEY", "sk-learn 與 sk-image",
        "password: ********", "api_key: xxxxxxxxxxxxxxxxxxxx", "權杖（token）是什麼？", "主鍵 primary_key: user_id", "key: value",
        f"ssh-ed25519 {b64(rng, 51)} amy@laptop", "Authorization: Bearer <token>", "token = tokens[0]", "hf_hub_download", "密碼：******",
        f"file_{hexes[:16]}.png", "password = getpass.getpass()", "secret_name: projects/demo/secrets/db", "xoxo-", f"nonce {b64(rng, 12)}",
    ])  # fmt: skip
