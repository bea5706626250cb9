# ruff: noqa: E501, B905 -- tables of shapes, one a line
"""Taiwan strings made from a seed: values of every type in the ways people write them, look-alikes, and sentences.

`planted(file, seed, each)` fills the sentences of a JSON file: {type: [sentence with {v}], "none": [sentence with
{kind of look-alike}]}. Check digits are computed here by themselves, apart from the code under test.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FULL = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
SPOKEN = str.maketrans("0123456789", "零一二三四五六七八九")
CODES = dict(zip("ABCDEFGHJKLMNPQRSTUVXYWZIO", range(10, 36)))


@dataclass(frozen=True)
class Case:
    """A text; `type` and [start, end) of what is planted in it, or type "" when nothing is."""

    text: str
    type: str
    start: int
    end: int
    kind: str


def digits(rng: random.Random, count: int, first: str = "0123456789") -> str:
    return rng.choice(first) + "".join(rng.choice("0123456789") for _ in range(count - 1))


def letters(rng: random.Random, count: int, alphabet: str = "ABCDEFGHJKLMNPQRSTUVWXYZ") -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


def id_check(body: str) -> int:
    """The check digit of a letter and eight more places (a second letter counts by its ones)."""
    first = CODES[body[0]]
    rest = [CODES[c] % 10 if c.isalpha() else int(c) for c in body[1:]]
    return -(first // 10 + first % 10 * 9 + sum(w * n for w, n in zip((8, 7, 6, 5, 4, 3, 2, 1), rest))) % 10


def national_id(rng: random.Random, wrong: bool = False) -> str:
    body = letters(rng, 1) + digits(rng, 1, "12") + digits(rng, 7, "012345678")
    return body + str((id_check(body) + (rng.randint(1, 9) if wrong else 0)) % 10)


def resident_id(rng: random.Random, wrong: bool = False) -> str:
    second = rng.choice(["8", "9", "8", "9", "A", "B", "C", "D"])
    body = letters(rng, 1) + second + digits(rng, 7, "012345678")
    return body + str((id_check(body) + (rng.randint(1, 9) if wrong else 0)) % 10)


def tax_total(value: str) -> set[int]:
    total = sum(sum(map(int, str(int(d) * w))) for d, w in zip(value, (1, 2, 1, 2, 1, 2, 4, 1)))
    return {total, total + 1 if value[6] == "7" else total}


def tax_id(rng: random.Random, wrong: bool = False) -> str:
    while True:
        value = digits(rng, 8, "123456789")
        if any(total % 5 == 0 for total in tax_total(value)) != wrong:
            return value


def luhn_digit(body: str) -> int:
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return -total % 10


def credit_card(rng: random.Random, wrong: bool = False) -> str:
    prefix, length = rng.choice(
        [("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("3528", 16), ("6225", 16)]
    )
    body = prefix + digits(rng, length - len(prefix) - 1)
    value = body + str((luhn_digit(body) + (rng.randint(1, 9) if wrong else 0)) % 10)
    sep = rng.choice(["", "-", " ", "-"])
    cut = [4, 8, 12] if length == 16 else [4, 10]
    return sep.join(value[a:b] for a, b in zip([0, *cut], [*cut, length]))


def mobile(rng: random.Random) -> str:
    a, b, c = "09" + digits(rng, 2, "12345678"), digits(rng, 3), digits(rng, 3)
    shape = rng.choice(
        [
            "{a}-{b}-{c}",
            "{a}{b}{c}",
            "{a} {b} {c}",
            "{a}-{b}{c}",
            "+886-{s}-{b}-{c}",
            "+886{s}{b}{c}",
            "+886 {s} {b} {c}",
            "full",
            "spoken",
            "({a}){b}{c}",
            "{a}.{b}.{c}",
        ]
    )
    if shape == "full":
        return f"{a}-{b}-{c}".translate(FULL)
    if shape == "spoken":
        return f"{a}{b}{c}".translate(SPOKEN)
    return shape.format(a=a, b=b, c=c, s=a[1:])


def landline(rng: random.Random) -> str:
    area, rest = rng.choice(
        [
            ("02", digits(rng, 8, "2345678")),
            ("03", digits(rng, 7, "2345678")),
            ("037", digits(rng, 6, "2345678")),
            ("04", digits(rng, 8, "2")),
            ("04", digits(rng, 7, "78")),
            ("049", digits(rng, 7, "2")),
            ("05", digits(rng, 7, "2356")),
            ("06", digits(rng, 7, "2356")),
            ("07", digits(rng, 7, "23567")),
            ("08", digits(rng, 7, "78")),
            ("089", digits(rng, 6, "238")),
            ("082", digits(rng, 6, "3")),
            ("0836", digits(rng, 5, "2")),
        ]
    )
    local = rest if len(rest) < 7 else f"{rest[:-4]}-{rest[-4:]}"
    shape = rng.choice(
        [
            "{area}-{local}",
            "({area}){local}",
            "({area}) {local}",
            "{area}-{rest}",
            "{area} {local}",
            "+886-{bare}-{local}",
            "full",
            "({area}){rest}",
        ]
    )
    said = (
        f"（{area}）{local}".translate(FULL)
        if shape == "full"
        else shape.format(area=area, local=local, rest=rest, bare=area[1:])
    )
    return said + rng.choice(
        [
            "",
            "",
            "",
            "#" + digits(rng, 3, "123456789"),
            f" 轉 {digits(rng, 2, '123456789')}",
            f"分機{digits(rng, 4, '123456789')}",
            f" ext. {digits(rng, 3, '123456789')}",
        ]
    )


TOWNS = [
    "臺北市大安區",
    "台北市信義區",
    "新北市板橋區",
    "桃園市中壢區",
    "臺中市西屯區",
    "台南市東區",
    "高雄市左營區",
    "基隆市仁愛區",
    "新竹市東區",
    "新竹縣竹北市",
    "苗栗縣頭份市",
    "彰化縣員林市",
    "南投縣埔里鎮",
    "雲林縣斗六市",
    "嘉義縣民雄鄉",
    "屏東縣潮州鎮",
    "宜蘭縣羅東鎮",
    "花蓮縣吉安鄉",
    "臺東縣成功鎮",
    "澎湖縣馬公市",
    "金門縣金湖鎮",
]
ROADS = [
    "中正路",
    "忠孝東路四段",
    "民生東路3段",
    "和平街",
    "復興二路",
    "自由路二段",
    "光復南路",
    "成功大道",
    "文化一路一段",
    "四維三路",
    "仁愛街",
    "大同路",
]
VILLAGES = ["打簾村12鄰", "幸福里3鄰", "中山村"]


def address(rng: random.Random) -> str:
    town = rng.choice(TOWNS)
    city = rng.choice(
        [
            town,
            town,
            town,
            rng.choice(["106", "24250", "300 ", "950409"]) + town,
            re.sub("^...", "", town) if town[3:4] not in "東仁" else town,
        ]
    )
    number = str(rng.randint(1, 399))
    number = rng.choice(
        [
            number,
            number,
            number.translate(FULL),
            "一百二十三",
            "三十六",
            f"{number}之{rng.randint(1, 9)}",
            f"{number}-{rng.randint(1, 9)}",
        ]
    )
    lane = rng.choice(["", "", f"{rng.randint(1, 400)}巷", f"{rng.randint(1, 400)}巷{rng.randint(1, 40)}弄", "十二巷"])
    floor = rng.choice(
        [
            "",
            "",
            f"{rng.randint(2, 20)}樓",
            f"{rng.randint(2, 20)}樓之{rng.randint(1, 9)}",
            "五樓",
            f"{rng.randint(2, 20)}F",
            f"{rng.randint(2, 9)}樓A室",
        ]
    )
    if "縣" in city and rng.random() < 0.2:
        return city + rng.choice(VILLAGES) + number + "號"
    return city + rng.choice(ROADS) + lane + number + "號" + floor


def email(rng: random.Random) -> str:
    user = rng.choice(["amy", "wang.xm", "chen_ming", "lin-jy", "j.h.wu", "taiwan"]) + rng.choice(
        ["", digits(rng, 2), "+shop"]
    )
    value = f"{user}@{rng.choice(['gmail.com', 'yahoo.com.tw', 'hotmail.com', 'ntu.edu.tw', 'mail.gov.tw', 'my-company.tw', 'example.com'])}"
    return value if rng.random() < 0.9 else value.replace("@", "＠")


def plate(rng: random.Random) -> str:
    up = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    return rng.choice(
        [
            f"{letters(rng, 3, up)}-{digits(rng, 4)}",
            f"{letters(rng, 3, up)}-{digits(rng, 4)}",
            f"{digits(rng, 4)}-{letters(rng, 2, up)}",
            f"{letters(rng, 2, up)}-{digits(rng, 4)}",
            f"{letters(rng, 3, up)}-{digits(rng, 3)}",
            f"{letters(rng, 3, up)}{digits(rng, 4)}",
            f"{letters(rng, 1, up)}{digits(rng, 1)}-{digits(rng, 4)}",
            f"{digits(rng, 3)}-{letters(rng, 3, up)}",
        ]
    )


def chinese(number: int) -> str:
    tens, ones = divmod(number, 10)
    head = {0: "", 1: "十"}.get(tens, "零一二三四五六七八九"[tens] + "十")
    return head + ("零一二三四五六七八九"[ones] if ones else "")


def day(rng: random.Random) -> str:
    y, m, d = rng.randint(1940, 2020), rng.randint(1, 12), rng.randint(1, 28)
    roc = y - 1911
    return rng.choice(
        [
            f"民國{roc}年{m}月{d}日",
            f"{y}年{m}月{d}日",
            f"{y}/{m:02d}/{d:02d}",
            f"{y}-{m:02d}-{d:02d}",
            f"{roc}年{m}月{d}日",
            f"{roc}.{m}.{d}",
            f"{roc}/{m:02d}/{d:02d}",
            f"民國 {roc} 年 {m} 月 {d} 日",
            f"民國{chinese(roc) if roc < 100 else '一百零' + chinese(roc - 100) if roc < 110 else '一百' + chinese(roc - 100)}年{chinese(m)}月{chinese(d)}日",
            f"西元{y}年{m}月{d}日",
            f"{roc}年{m}月{d}日".translate(FULL),
        ]
    )


def line_id(rng: random.Random) -> str:
    return rng.choice(["amy", "wang.xm", "chen_ming", "@shop", "lin-jy", "happy"]) + rng.choice(
        [digits(rng, 3), "_" + digits(rng, 2), ".tw"]
    )


def bank_account(rng: random.Random) -> str:
    code, body = rng.choice(["004", "822", "700", "812", "013"]), digits(rng, rng.choice([12, 13, 14]))
    return rng.choice(
        [
            body,
            f"{code}-{body}",
            f"({code}){body}",
            f"{body[:3]}-{body[3:5]}-{body[5:]}",
            f"({code}) {body}",
            f"{body[:4]}-{body[4:8]}-{body[8:]}",
        ]
    )


def ip(rng: random.Random) -> str:
    v4 = f"{rng.randint(20, 223)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}".replace(
        "127.", "128.", 1
    )
    groups = [f"{rng.randint(0, 65535):x}" for _ in range(6)]
    return rng.choice(
        [
            v4,
            v4,
            v4,
            "192.168." + str(rng.randint(0, 255)) + ".23",
            "2001:" + ":".join(groups) + ":1",
            "2001:b011::" + groups[0] + ":" + groups[1],
        ]
    )


def name(rng: random.Random) -> str:
    given = rng.choice(
        [
            "小明",
            "美華",
            "志豪",
            "淑芬",
            "家豪",
            "雅婷",
            "怡君",
            "建宏",
            "俊傑",
            "宗翰",
            "心怡",
            "承恩",
            "品妤",
            "明",
            "敏",
            "玉",
            "冠廷",
            "麗珠",
            "國華",
            "文雄",
        ]
    )
    return (
        rng.choice(
            [
                "陳",
                "林",
                "黃",
                "張",
                "李",
                "王",
                "吳",
                "劉",
                "蔡",
                "楊",
                "許",
                "鄭",
                "謝",
                "歐陽",
                "張簡",
                "司馬",
                "高",
                "江",
                "方",
                "周",
            ]
        )
        + given
    )


VALUES = {
    "national-id": lambda rng: national_id(rng) if rng.random() < 0.85 else national_id(rng).translate(FULL),
    "resident-id": resident_id,
    "passport": lambda rng: rng.choice([digits(rng, 9, "13"), letters(rng, 1) + digits(rng, 8), letters(rng, 2) + digits(rng, 7)]),
    "health-card": lambda rng: rng.choice(["0000" + digits(rng, 8), "0000 " + digits(rng, 4) + " " + digits(rng, 4), digits(rng, 12, "01345678")]),
    "tax-id": lambda rng: tax_id(rng) if rng.random() < 0.85 else tax_id(rng).translate(FULL),
    "mobile": mobile,
    "landline": landline,
    "address": address,
    "email": email,
    "credit-card": credit_card,
    "plate": plate,
    "birth-date": day,
    "line-id": line_id,
    "bank-account": bank_account,
    "ip": ip,
    "name": name,
    "medical-record": lambda rng: rng.choice([digits(rng, 7), digits(rng, 8), letters(rng, 1) + digits(rng, 8), f"{digits(rng, 7)}-{digits(rng, 1)}"]),
    "policy-number": lambda rng: rng.choice([digits(rng, 10), letters(rng, 2) + digits(rng, 8), f"{digits(rng, 4)}-{digits(rng, 6)}", f"{letters(rng, 1)}{digits(rng, 9)}-{digits(rng, 2)}"]),
    "carrier-barcode": lambda rng: "/" + letters(rng, 7, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ+-."),
    "citizen-certificate": lambda rng: letters(rng, 2) + digits(rng, 14),
}  # fmt: skip


def isbn(rng: random.Random) -> str:
    body = rng.choice(["978957", "978986"]) + digits(rng, 6)
    value = body + str(-sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(body)) % 10)
    return rng.choice([value, f"{value[:3]}-{value[3:6]}-{value[6:10]}-{value[10:12]}-{value[12]}"])


def law(rng: random.Random) -> str:
    return rng.choice(
        [
            str(rng.randint(1, 1225)),
            "一千一百四十五",
            "九百八十七",
            f"{rng.randint(1, 300)}-{rng.randint(1, 9)}",
            "十二",
        ]
    )


def hexes(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789abcdef") for _ in range(count))


LOOKALIKES = {
    "order": lambda rng: rng.choice([letters(rng, 1) + digits(rng, 9, "12"), digits(rng, 10, "0") , letters(rng, 2) + digits(rng, 8), digits(rng, 12), f"{digits(rng, 8)}-{digits(rng, 4)}", "20240" + digits(rng, 9), national_id(rng), tax_id(rng), "09" + digits(rng, 8)]),
    "isbn": isbn,
    "law": law,
    "date": lambda rng: rng.choice([day(rng), "中華民國九十四年二月五日", f"{rng.randint(2000, 2025)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"]),
    "version": lambda rng: rng.choice([f"{rng.randint(0, 30)}.{rng.randint(0, 30)}.{rng.randint(0, 99)}", f"{rng.randint(0, 10)}.{rng.randint(0, 10)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}", f"{rng.randint(1, 9)}.{rng.randint(0, 9)}.0rc1"]),
    "hex": lambda rng: hexes(rng, rng.choice([7, 8, 12, 32, 40, 64])),
    "hex6": lambda rng: hexes(rng, 6),
    "gps": lambda rng: f"{rng.uniform(22, 25):.6f}, {rng.uniform(120, 122):.7f}",
    "model": lambda rng: rng.choice([f"{letters(rng, 3)}-{digits(rng, 4)}", f"{letters(rng, 2)}{digits(rng, 4)}{letters(rng, 1)}", f"{letters(rng, 1)}{digits(rng, 3)}", f"RTX {digits(rng, 4, '1234')}"]),
    "long": lambda rng: digits(rng, rng.choice([17, 20, 22, 25]), "12356789"),
    "bad-national-id": lambda rng: national_id(rng, wrong=True),
    "bad-resident-id": lambda rng: resident_id(rng, wrong=True),
    "bad-tax-id": lambda rng: tax_id(rng, wrong=True),
    "bad-credit-card": lambda rng: credit_card(rng, wrong=True),
    "six": lambda rng: digits(rng, 6),
    "eight": lambda rng: rng.choice([digits(rng, 8, "123456789"), tax_id(rng)]),
    "money": lambda rng: rng.choice([f"{rng.randint(10**6, 10**10):,}", tax_id(rng), digits(rng, 10, "0123")]),
    "small": lambda rng: str(rng.randint(1, 99)),
    "minute": lambda rng: f"{rng.randint(0, 59):02d}",
    "uuid": lambda rng: "-".join(hexes(rng, n) for n in (8, 4, 4, 4, 12)),
    "mac": lambda rng: ":".join(hexes(rng, 2) for _ in range(6)),
    "zip": lambda rng: digits(rng, rng.choice([3, 5, 6]), "123456789"),
    "student": lambda rng: rng.choice([letters(rng, 1, "BRD") + digits(rng, 8), digits(rng, 9), digits(rng, 6)]),
    "short": lambda rng: digits(rng, rng.choice([4, 5]), "123456789"),
}  # fmt: skip


def planted(file: str, seed: int, each: int, lookalikes: int) -> list[Case]:
    """`each` cases of every type and `lookalikes` without any, from the sentences of `file` in turn."""
    rng = random.Random(seed)
    sentences = json.loads((HERE / file).read_text(encoding="utf-8"))
    cases: list[Case] = []
    for type, make in VALUES.items():
        for index in range(each):
            sentence, value = sentences[type][index % len(sentences[type])], make(rng)
            start = sentence.index("{v}")
            cases.append(Case(sentence.replace("{v}", value), type, start, start + len(value), type))
    for index in range(lookalikes):
        sentence = sentences["none"][index % len(sentences["none"])]
        kinds = re.findall(r"\{([a-z0-9-]+)\}", sentence)
        text = re.sub(r"\{([a-z0-9-]+)\}", lambda found: LOOKALIKES[found[1]](rng), sentence)
        cases.append(Case(text, "", 0, 0, kinds[0] if kinds else "words"))
    return cases
