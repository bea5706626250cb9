"""People's names as they stand in Taiwan's papers: after a role (要保人 …, 聯絡人：…), before a title (… 先生), in a
list after a role, alone beside a personal number, and in Latin letters after a label (Name: …).

`names(text)` gives where. What a role announces is a name when it begins with a surname and goes on with one or two
characters that given names are made of; the less stands between the two (colon, space, nothing), the more is asked of
the characters and of what follows. Names of Indigenous people and foreigners are told by the dot inside (瓦歷斯．諾幹).
Names with something hidden (王○明, 陳某) are left alone.

Not covered: names without a role or title, a surname with a title alone (陳小姐), rare surnames where no colon stands,
pen names, Japanese names in Chinese characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from danlu.text.name_words import (
    GIVEN,
    GIVEN_NOT,
    HISTORICAL,
    NOT_AFTER_ROLES,
    NOT_NAMES,
    OFFICES,
    RARE_SURNAMES,
    ROLES,
    SURNAMES,
    TWO_SURNAMES,
)

# --- Chinese names --------------------------------------------------------------------------------------------------

_HAN = "\u3400-\u9fff\U00020000-\U0003ffff"
_IS_HAN = re.compile(f"[{_HAN}]")
_STRONG = "先生|小姐|女士"
_WEAK = (
    "太太|夫人|同學|老師|醫師|醫生|律師|教授|博士|經理|主任(?!委員)|校長|院長|店長|護理師|會計師|建築師|組長|課長|專員"
    "|地政士|學長|學姊|董事長|總經理|執行長|理事長|秘書長|秘書|科長|處長|局長|股長|班長|里長|村長|鄉長|鎮長|議員|立委"
    "|委員(?!會)|檢察官|法官|教官|書記官|警員|員警|警官|藥師|技師|技士|導師|教練|牧師|神父|師傅|師父|理事(?!會|項|務|件|由)"
    "|監事(?!會)|董事(?!會)|顧問|工程師|設計師|總幹事|社工|襄理|副理|協理|代書"
)
_TITLE = re.compile(f"{_STRONG}|{_WEAK}|君(?<=[ \u3000]君)")
_RANK = re.compile("(?:主治|住院|副總|副|總|助理|榮譽|名譽|執行|代理|前|代)$")
_CUT = re.compile(
    f"{_STRONG}|{_WEAK}|敬[啟上邀謝賀輓]|謹[啟上識誌]|自[稱願行述]|同[意為行]|德政|特[此地別]|代[表為理收]|地政|持[有股]|全程|繼承|取得|宣[布告讀]|君[代為於向]|發[生現]|借[得款]|安全|平安|明[日天確]|永[久遠]|本人|大德"
)
"""What is more likely to begin with the last character of a longer name: 曾宜律師 is 曾宜."""

_FOLLOW = re.compile(
    f"[^{_HAN}]|$|{_STRONG}|{_WEAK}"
    "|[君之的於在因為是係已將應向並經即則也都曾未不請先與及和或等等暨到由有受被把從對自遭擔任等說稱表指證坦供簽敬謹來去前其當會可須於]"
    "|願|發生|全程|取得|繼承|受有|聯[繫絡]|接洽|認領|提[告出起供議案及到]|昨|今[天日晨早]|日前|上午|下午|清晨|凌晨|晚間|深夜|酒[測駕醉]|涉嫌|疑似|借|電[話子洽]|手機|行動|身[分份]|[地住]址|[住民男女]|性別|出[生席示具]|生[於日]|統[編一]|年[齡滿]|職[稱業務]|帳[號戶]|護照|居留|收|寄"
    "|代[收理表]|親[自簽]|陪同|宣布|報告|另|後|時|至|以|乃|又|亦|均|皆|亡|歿|逝|病|往|主持|致|拜|啟|叩|書|印|簽|蓋|補|領|支|繳|購|住|騎|駕"
)
_ORGANISATION = re.compile(
    f"[{_HAN}]{{0,8}}?(?:公司|企業|工業|實業|商[行號店]|銀行|醫院|診所|學校|學院|大學|[國高]中|國小|基金會|[協學公工]會|事務所"
    "|飯店|餐[廳飲]|集團|社區|大樓|中心|[區鄉鎮市縣村里路街]|[分總]行|工程|科技|建設|營造|出版)"
)
_DOTTED = re.compile(f"[{_HAN}]{{1,6}}(?:[．·‧・•][{_HAN}]{{1,6}}){{1,3}}")
_SPACED = re.compile(
    f"[{_HAN}](?:[ \\u3000][{_HAN}]){{2,3}}(?![{_HAN}])|[{_HAN}][ \\u3000]{{1,2}}[{_HAN}]{{1,2}}(?![{_HAN}])"
)
_SURE = SURNAMES - frozenset("高江方溫温白石金安馬古龍連程田毛包牛花左史夏曾唐宋車")
_WAVERING = frozenset("曾連應成全管解向由莫")
"""Surnames that are particles and verbs as often: behind them a name must end where no character follows."""

_DOTS = ("·", "．", "‧", "・", "•")
_FIRM = ":：=|｜"
_NUMERALS = frozenset("零〇一二三四五六七八九十百千萬無未同本其該此指如見詳全各上下前後左右")
_HIDDEN = re.compile(r"[○〇◯Ｏ＊*●Ｘ某]|[OX](?![A-Za-z])")


_EITHER = frozenset(["李子", "葉子", "江南", "林園", "高明", "方正", "周全", "金門", "溫柔", "安寧", "史料", "蘇珊"])
"""Words of NOT_NAMES that names begin with as well: 李子豪."""


def is_name(name: str, rare: bool = False) -> bool:
    """A surname and one or two characters that no word shows to be something else."""
    two = name[:2] in TWO_SURNAMES
    if not two and (len(name) == 4 or not (name[0] in SURNAMES or (rare and name[0] in RARE_SURNAMES))):
        return False
    given = name[2:] if two else name[1:]
    if not 1 <= len(given) <= 2 or not all(_IS_HAN.match(character) for character in given):
        return False
    if (
        set(given) & GIVEN_NOT
        or given in NOT_NAMES
        or (rare and name[0] not in SURNAMES and name[:2] in NOT_AFTER_ROLES)
    ):
        return False
    return name[:2] not in NOT_NAMES or (len(name) == 3 and name[:2] in _EITHER and set(given) <= GIVEN)


def _given(name: str) -> str:
    return name[2:] if name[:2] in TWO_SURNAMES else name[1:]


def _common(name: str) -> bool:
    """Whether all of the given name is of characters that given names are made of."""
    given = _given(name)
    return bool(given) and set(given) <= GIVEN


def _married(name: str) -> bool:
    """張王美玲, 阮氏秋恆: a second surname, or 氏, before the given name."""
    second = len(name) == 4 and name[0] in SURNAMES and (name[1] in SURNAMES or name[1] == "氏")
    return second and name[:2] not in NOT_NAMES and set(name[2:]) <= GIVEN and name[2:] not in NOT_NAMES


def _after_role(text: str, at: int, mark: str, said: bool) -> int:
    """Where the name that begins at `at` ends; 0 when none does. `mark` is what stands before it; `said` that the role
    is one that is borne by people alone."""
    for length in (4, 3, 2):
        name = text[at : at + length]
        if len(name) == length and _ends(text, at, name, mark, said):
            return at + length
    return 0


def _ends(text: str, at: int, name: str, mark: str, said: bool) -> bool:
    """Whether this is a name, after this mark, and can end where it does."""
    after = text[at + len(name) : at + len(name) + 12]
    firm, bare = any(sign in mark for sign in _FIRM), not after or not _IS_HAN.match(after)
    married = _married(name)
    if not (
        married
        or is_name(name, rare=bare and bool(mark) and (len(name) > 2 or (said and firm and _common(name))))
        or (said and firm and bare and _unknown(name))
    ):
        return False
    if (
        _HIDDEN.match(after)
        or after[:1] in _DOTS
        or re.match(f"-[{_HAN}]", after)
        or (len(name) > 2 and _CUT.match(text, at + len(name) - 1))
    ):
        return False
    if "\n" in mark:
        return bool(re.match(r"[ \t\u3000]*(?:\n|$)|[ \u3000]{2}", after))
    if firm and bare:
        return True
    common = married or _common(name)
    word = name[:2] in NOT_AFTER_ROLES
    if not (common or (mark and bare)) or (word and (len(name) == 2 or not common)):
        return False
    if bare:
        return True
    if word and not _FOLLOW.match(after):
        return False
    if _ORGANISATION.match(after) or (name[0] in _WAVERING and not (said and len(name) > 2 and _FOLLOW.match(after))):
        return False
    return bool(_FOLLOW.match(after)) or (len(name) > 2 and (said or name[0] in _SURE or name[:2] in TWO_SURNAMES))


def _unknown(name: str) -> bool:
    """Three characters of which the last two are of given names: the first is a surname that is not in the list."""
    return len(name) == 3 and set(name[1:]) <= GIVEN and name[:2] not in NOT_AFTER_ROLES and name[0] not in _NUMERALS


def _name_before(text: str, end: int, strong: bool) -> tuple[int, int] | None:
    """The name that ends at `end`, before a title; None when what stands there is no name."""
    for length in (4, 3, 2):
        start = end - length
        name = text[max(0, start) : end]
        if start < 0 or not is_name(name):
            continue
        thanks = text[max(0, start - 2) : start] in NOT_NAMES
        edge = thanks or start == 0 or not _IS_HAN.match(text[start - 1]) or text[start - 1] in _EDGE
        within = not thanks and text[max(0, start - 1) : start + 1] in NOT_NAMES
        sure = strong or (_common(name) and name[:2] not in NOT_AFTER_ROLES)
        if within or (not edge and (length == 2 or not sure)):
            continue
        return start, end
    return None


_EDGE = frozenset("由向與和及請找給叫讓對跟為是的於在問同替見被把當訪有任邀洽蒙謝")


def _before_titles(text: str) -> Iterator[tuple[int, int, float, str]]:
    for title in _TITLE.finditer(text):
        rank = _RANK.search(text, max(0, title.start() - 2), title.start())
        end = begin = rank.start() if rank else title.start()
        if text[end - 1 : end] in (" ", "\u3000"):
            end -= 1
        strong = title[0] in ("先生", "小姐", "女士")
        span = _name_before(text, end, strong)
        if span and (end == begin or _common(text[slice(*span)])):
            yield *span, 0.7 if strong else 0.6, "surname and title"


# --- roles -----------------------------------------------------------------------------------------------------------


_GENERIC = "人者員師官長任理書友戶主客士女方生"
_BEARERS = "人者員師"
"""Last characters of roles behind which a full name may follow with nothing between: 貸與人沈家宏, 外送員林家豪."""

_LATIN = re.compile(r"[Nn]ame(?![A-Za-z])|NAME(?![A-Za-z])")


_FIRST = "".join(sorted(SURNAMES | RARE_SURNAMES | {two[0] for two in TWO_SURNAMES}))
_SURELY = "".join(sorted(_SURE | {two[0] for two in TWO_SURNAMES}))
_SIGNS = ":：=|｜（( \u3000"
_RELATED = "小孩 孩子 兒子 女兒 弟弟 妹妹 哥哥 姊姊 姐姐 老公 老婆 太太 先生 同學 朋友 學長 學姊"
_CALLED = (who + called for who in _RELATED.split() for called in ("叫", "叫做"))
_PEOPLE = frozenset((*ROLES.split(), "我叫", "名叫", *_CALLED))
_ANNOUNCE = _PEOPLE | frozenset(OFFICES.split())
_LENGTHS = {
    last: sorted({len(role) for role in _ANNOUNCE if role[-1] == last}, reverse=True)
    for last in {role[-1] for role in _ANNOUNCE}
}
_LAST = "".join(sorted({role[-1] for role in _ANNOUNCE} | set(_GENERIC)))
_GATE = re.compile(
    rf"""[{_LAST}](?=[{_SIGNS}{_FIRST}\s】\])）」』"'*＊／/]|之(?:姓名|簽)|[姓簽大本]|[為是係叫名做][{_FIRST}]|、[{_HAN}]{{1,4}}[:：])"""
)
"""The last character of a role, where what follows can lead to a name: far fewer places than roles begin at."""


def _role_before(text: str, end: int) -> tuple[str, int]:
    """(kind, start) of the role that ends at `end`, the longest: 原告, 原　　　告; ("", 0) for none."""
    for length in _LENGTHS.get(text[end - 1], ()):
        if length <= end and text[end - length : end] in _ANNOUNCE:
            role = text[end - length : end]
            return ("said" if role in _PEOPLE else "office"), end - length
    if text[end - 2 : end - 1] in (" ", "\u3000"):
        spread = _SPREAD.search(text, max(0, end - 16), end)
        role = re.sub(r"[ \u3000]", "", spread[0]) if spread else ""
        if role in _PEOPLE and spread:
            return "said", spread.start()
    if text[end - 1] in _GENERIC and _IS_HAN.match(text[end - 2 : end - 1]) and text[end : end + 1] in _SIGNS:
        return "other", end - 1
    return "", 0


_SPREAD = re.compile(rf"(?:[{_HAN}][ \u3000]{{1,5}}){{1,3}}[{_HAN}]$")
_BEARER = re.compile(rf"[{_BEARERS}](?=[{_SURELY}])(?<=[{_HAN}].)")
_COLON = re.compile(
    rf"[:：](?<=[{_HAN}）)].)(?=[ \u3000]?[{''.join(sorted(_SURE | {two[0] for two in TWO_SURNAMES}))}林高江曾余])"
)
_THING = re.compile(
    "(?:名稱|品名|品項|名|書|作品|地點|地址|主題|標題|題目|主旨|景點|商品|品牌|顏色|口味|菜色|公司|單位|科目|學校|歌曲|曲目|劇|片|材質|產地|來源|備註|說明|內容|種類"
    "|類別|答|問|曰|云|例如|如下|注意|包括|包含|摘要|關鍵字|出處|資料|機關|部門|(?<!比)例|註|系所|專長|興趣|物種|植物|動物|食材|原料|成分)$"
)
_MARK = re.compile(
    r"(?:(?:之|的)?(?:姓名|簽名|簽章|大名|本名))?"
    rf"(?:[／/、][{_HAN}]{{1,4}}(?=[ \u3000]*[:：]))?(?:[ \u3000]?[（(][^（）()\n]{{1,14}}[)）])?"
    r"[】\]）)」』\"'*＊]{0,3}"
    r"(?:[ \u3000\t]*[:：=|｜][ \u3000\t]*|[ \t]*\n[ \t]*|叫做?|名[叫為]|為|是|係|[ \u3000\t]+)?"
    r"[\"'「『*]{0,3}"
)
_MORE = re.compile(rf"(?:{_STRONG}|{_WEAK})?[ \u3000]*[、,，/／及和與暨][ \u3000]*")


def _roles(text: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of what may announce a name: said outright, by a general last character, in Latin letters."""
    for gate in _GATE.finditer(text):
        kind, start = _role_before(text, gate.end())
        if kind:
            yield kind, start, gate.end()
    for bearer in _BEARER.finditer(text):
        yield "other", bearer.start(), bearer.end()
    for colon in _COLON.finditer(text):
        if not _THING.search(text, max(0, colon.start() - 4), colon.start()):
            yield "colon", colon.start(), colon.start()
    if "ame" in text or "NAME" in text:
        for role in _LATIN.finditer(text):
            yield "latin", role.start(), role.end()


def _after_roles(text: str) -> Iterator[tuple[int, int, float, str]]:
    for kind, start, stop in _roles(text):
        found = _MARK.match(text, stop)
        mark, at = (found[0], found.end()) if found else ("", stop)
        if not _announces(text, kind, start, mark) or not _IS_HAN.match(text, at):
            continue
        end = _whole(text, at, mark, kind == "said")
        if not end and kind in ("said", "colon") and any(sign in mark for sign in ":："):
            at, end = _tail(text, at)
        if kind == "other" and not mark and end - at < 3:
            continue
        if kind == "colon" and end and (end - at < 3 or not _IS_HAN.match(text, at)):
            continue
        sure = kind == "said" or _common(re.sub(r"[ \u3000]", "", text[at:end])) or _DOTTED.match(text, at)
        while end and sure:
            yield at, end, 0.8, "role and surname"
            more = _MORE.match(text, end)
            if not more or not _IS_HAN.match(text, more.end()):
                break
            at, end = more.end(), _whole(text, more.end(), ",", False)


def _announces(text: str, kind: str, start: int, mark: str) -> bool:
    """Whether this mark behind a role of this kind lets a name follow."""
    firm = any(sign in mark for sign in _FIRM)
    if kind == "latin":
        return firm
    if "\n" in mark and not firm:
        line = text[text.rfind("\n", max(0, start - 40), start) + 1 : start]
        return kind == "said" and not line.strip(" \u3000□■●*-")
    return kind in ("said", "office") or not mark or firm or " " in mark or "\u3000" in mark


def _tail(text: str, at: int) -> tuple[int, int]:
    """The full name at the end of what stands behind a colon (聯絡人：管委會杜志誠，…); (at, 0) for none."""
    run = _RUN.match(text, at)
    for length in (4, 3) if run else ():
        end = run.end() if run else at
        start = end - length
        first = text[start] in _SURE if length == 3 else text[start : start + 2] in TWO_SURNAMES
        if first and _sure(text[start:end]):
            return start, end
    return at, 0


_RUN = re.compile(rf"[{_HAN}]{{5,12}}(?![{_HAN}])")


def _whole(text: str, at: int, mark: str, said: bool) -> int:
    """Where the name at `at` ends, with dots or spaces inside too; 0 for none."""
    dotted = _DOTTED.match(text, at) if mark and mark not in ("為", "是", "係", "叫", "叫做") else None
    if dotted and dotted[0][0] not in "之的是" and not _IS_HAN.match(text[dotted.end() : dotted.end() + 1]):
        return dotted.end()
    end = _after_role(text, at, mark, said)
    if end or not mark or "\n" in mark:
        return end
    spaced = _SPACED.match(text, at)
    if spaced:
        plain = re.sub(r"[ \u3000]", "", spaced[0])
        if is_name(plain, rare=True) and _common(plain) and plain[:2] not in NOT_AFTER_ROLES:
            return spaced.end()
    return 0


# --- Latin letters ---------------------------------------------------------------------------------------------------

_ROMAN = """
wang chen lin huang chang zhang li lee wu liu tsai cai yang hsu xu cheng zheng hsieh xie hung hong kuo guo chiu qiu
tseng zeng liao lai chou zhou yeh ye su chuang zhuang lu lyu chiang jiang ho he hsiao xiao lo luo kao gao pan chien
jian chu zhu chung zhong yu peng chan zhan hu shih shi shen wei sun tai dai fan fang sung song teng deng tu fu hou
tsao cao hsueh xue ting ding cho zhuo juan ruan ma tung dong wen tang lan shihn gu ku chi ji yao feng ou tien tian
kang bai pai tsou zou yan han yuan chin jin xia hsia pao bao ouyang szuma chiou jhang jhou jheng syu sie tsay chao
zhao liang ko ke kuan guan nguyen tran pham
"""
_SURNAMES_ROMAN = frozenset(_ROMAN.split())
_ROMAN_LABEL = re.compile(
    r"(?:(?P<who>(?<![A-Za-z])(?:(?:full|legal|english|passenger|guest|patient|applicant|cardholder|contact|student|employee"
    r"|customer|beneficiary|recipient|sender|insured|traveler|holder)(?:'s)?[ _]name"
    r"|passenger|cardholder|applicant|attn|guest|patient)"
    r"|英文姓名|護照姓名|姓名[（(]英文?[)）])"
    r"|(?P<name>(?<![A-Za-z])(?<![A-Za-z] )name|姓名|[人者戶]名?))[\"'*」】]{0,2}"
    r"(?:[ \u3000]?[（(][^（）()\n]{1,14}[)）])?[ \u3000\t]*$",
    re.IGNORECASE,
)
_ROMAN_NAME = re.compile(
    r"[:：=|][ \u3000\t]*[\"'*]?(?:(?:Mr|Ms|Mrs|Miss|Dr)\.? )?"
    r"(?P<value>[A-Z][A-Za-z'’]+(?:-[A-Za-z]+)?(?:(?:, ?| |/)[A-Z][A-Za-z'’]*\.?(?:-[A-Za-z]+)?){1,3})(?![A-Za-z])"
)
_NOT_ROMAN = re.compile(
    r"\b(?:co|ltd|inc|corp|company|limited|university|bank|hospital|school|hotel|project|system|server|windows|linux|google"
    r"|and|of|the|test|build|deploy|date|number|name|id|type|address|phone|passport|new|my)\b",
    re.IGNORECASE,
)


def _roman(text: str) -> Iterator[tuple[int, int, float, str]]:
    for found in _ROMAN_NAME.finditer(text):
        label = _ROMAN_LABEL.search(text[max(0, found.start() - 40) : found.start()])
        if _NOT_ROMAN.search(found["value"]):
            continue
        words = re.findall(r"[A-Za-z]+(?:-[A-Za-z]+)?", found["value"])
        sure = "-" in found["value"] and any(word.lower() in _SURNAMES_ROMAN for word in (words[0], words[-1]))
        if label is None and not sure:
            continue
        if sure or label["who"] or any(word.lower() in _SURNAMES_ROMAN for word in (words[0], words[-1])):
            yield *found.span("value"), 0.8, "label and Latin name"


_SURE_FIRST = "".join(sorted(_SURE | {two[0] for two in TWO_SURNAMES} | set("林高江曾余")))
_ALONE = re.compile(rf"[ \u3000\t]([{_SURE_FIRST}][{_HAN}]{{2,3}})(?=[ \u3000\t\n，,。；;（(：:]|$)")


def _alone(text: str) -> Iterator[tuple[int, int, float, str]]:
    """A full name between blanks (信士 林志明　…, 親愛的 王國榮 您好): no role says what it is, the form alone does."""
    for found in _ALONE.finditer(text):
        name = found[1]
        if (len(name) == 3 or name[:2] in TWO_SURNAMES) and _sure(name):
            yield *found.span(1), 0.55, "form of a full name, alone"


_BEFORE_NUMBER = re.compile(rf"(?<![{_HAN}])[{_HAN}]{{3,4}}(?=[（(，、,：:／/| \u3000\t]{{1,3}}\Z)")
_BEHIND_NUMBER = re.compile(rf"[）)，、,：／/| \u3000\t]{{1,3}}([{_HAN}]{{3,4}})(?![{_HAN}])")


def beside(text: str, start: int, end: int) -> Iterator[tuple[int, int, float, str]]:
    """A full name alone before or behind the personal number at [start, end): 王小明（A12…）, 0912-… 王小明."""
    before = _BEFORE_NUMBER.search(text, max(0, start - 8), start)
    behind = _BEHIND_NUMBER.match(text, end)
    for span in (before.span() if before else None, behind.span(1) if behind else None):
        name = text[slice(*span)] if span else ""
        if span and (name[0] in _SURE or name[0] in "林高江曾余" or name[:2] in TWO_SURNAMES) and _sure(name):
            yield *span, 0.6, "name beside a personal number"


def _sure(name: str) -> bool:
    return is_name(name) and _common(name) and name[:2] not in NOT_AFTER_ROLES and name not in HISTORICAL


def names(text: str) -> Iterator[tuple[int, int, float, str]]:
    """(start, end, score, why) of each; two may overlap."""
    for found in (*_before_titles(text), *_after_roles(text), *_alone(text), *_roman(text)):
        if text[found[0] : found[1]] not in HISTORICAL:
            yield found
