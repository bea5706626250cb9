"""People's names as they stand in Taiwan's papers: after a role (要保人 …, 原告　…, 聯絡人：…), before a title (… 先生),
in a list after a role, and in Latin letters after a label (Name: …).

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

_COMMON = """
陳林黃張李王吳劉蔡楊許鄭謝洪郭邱曾廖賴徐周葉蘇莊呂江何蕭羅高潘簡朱鍾游彭詹胡施沈余盧梁趙顏柯翁魏孫戴
范方宋鄧杜傅侯曹薛丁卓阮馬董温溫黄唐藍石蔣古紀姚連馮歐程湯田康姜汪白鄒尤巫鐘黎涂塗龔嚴韓袁金童陸夏柳凃
邵錢伍倪駱熊辛左凌甘史龍龐岳陶俞尹包裴麥段葛耿項邢覃車閔聶閻季賀殷牛池毛安粘滕鄂盛祁喬易
"""
SURNAMES = frozenset("".join(_COMMON.split()))
"""The single-character surnames of about 99 of 100 people in Taiwan."""

_RARE = """
譚于任秦章官顧萬雷饒闕武孔崔辜韋褚孟莫文賈管關向丘梅華利全樊房佘花魯穆鮑蒲郝谷成練鄔陽常符解繆申祝曲籃齊舒單
畢留鄞翟龎黄粟哈滿苗鳳隋宣婁狄晏柴薄佟戚楚臧闞冉岑諶詩幸晁支查竺藺敖荊桑仝鞏芮衣冼邊翦卞嵇
"""
RARE_SURNAMES = frozenset("".join(_RARE.split()))
"""Surnames that are common words too, or rare: taken only after a role, with a given name of common characters."""

_TWO = """
歐陽 司馬 上官 諸葛 張廖 范光 司徒 夏侯 張簡 范姜 端木 皇甫 尉遲 公孫 令狐 慕容 長孫 申屠 鍾離 東方 南宮
"""
TWO_SURNAMES = frozenset(_TWO.split())

_GIVEN = """
政品嫻睬同
一丁七三世丙丞中主久乙九乾五亘亞亦亨亭亮仁代仲伊伯伶佐佑佛佩佳侃侑俊俐保信修倉倖倢倩倫偉健偲傅傑傳儀億儒優允元兆光克兒全八公六典冠冬冰凌凝凡凰凱利剛創力功加助勇勉勛勝勤勳勵勻化北匡千升午卉卓協南博卯卿厚原友叔古吉君吟含吾
呈周和哲唐唯啟善喆喜喬嘉器四國圖地均坊坤坦垣城基堂堅堯境增士壬壹壽夏夙夢大天奇奈奕奮好如妃妍妏妗妘妙妡妤妮妶妹姈姍姝姬姮姵姿威娃娉娜娟娥娪娸婉婕婷媚媛媜媞嫈嫣嫻嬋嬌嬿子孜孝孟季學宇守安宏宓宗官宙定宛宜宣室宥宬家宸容寅密富
實寧寬寶封尉尊小少尚尹展山岑岩岱岳岷峯峰峻崇崑崗崧嵐嶔嶸嶽巍川工左巧己巽帆希帝帥常平年幸幹幼庚庠庭康庸廉廖廣延廷廸建弈弘弦強弼彗彣彤彥彧彩彪彬彭彰影征律御微徵德徹心忍志忠快忱念忻怜思怡性恂恆恒恕恣恩恬恭悅悌悠情惇惟惠愉意
愛愷慈慎慕慧慶憲憶懋懷懿戊戎成房才扶承振挺捷授採措揚摯敏敘教敢敦敬文斌斐斯新方旂日旭旺旻昀昂昇昊昌明易昕星春昭昱昶晁晉晏晞晟晨普景晰晴晶智暄暉暐暖暘暢暻曄曉曜曦書曼月朋朔朗望朝木本朵杉杏杰東松林果枝柏柔柚柱柳栩株格桀桂桐
桓桔梅梓梧棋棟棠森棻椒椿楊楓楚楨業楷楹榆榕榛榮槐樂樑樓樸樹樺權欣欽歆歌正步武毅毓民水永求汎汝江沁沂沄沅沈沐沛河治沿泉泓波泰泱泳洋洛津洪洲洵洸流浚浤浩海涓涵淇淑淞淦淨淯深淳淵淼清渝渟湋湖湘湛湧源溢溪溫滋滔滢滿漢漪漫潁潔潤潭
澄澈澎澔澤濃濟瀅瀚瀛瀞瀧灝炎炫炯烈烜烱烽焄焜煊煌煒煖照熒熙熠燁燈燊燕營燦爵爾牧特猷玄玉玗玟玥玫玲珂珈珊珍珞珠珩珮琁球琅理琇琛琦琨琪琬琮琳琴琸瑀瑄瑈瑋瑗瑚瑛瑜瑞瑢瑤瑩瑪瑭瑾璁璇璋璟璦璧環璿瓅瓊瓏甄甜甫田由甲申男畇畫癸發百皇
皎皓皙盈益盛盟直盷相眉真眾睦睿瞳知石研碁碧碩磊祁祈祉祐祖祜祝神祥祺祿禎福禔禧禮禹禾秀秉秋秝秦稚稟積穎穗穩立竑章竣童竫竹笙筆筑策筠筱箏節篤簡米粱粹精紀紅紋純紘素紫紹絜絢絲絹綉綠維綱綺綿緁緒緯緹緻縈縉績織繡繹繼羅美羚群義羽羿
翃翊翌翎習翔翠翡翮翰翼耀耕耘聆聖聞聰聲聿肇肯育胤膺臣自至致臺臻興舒舜舫良艾芃芊芙芝芠芫芬芮芯花芳芷芸芹芽苓苡若英茂茗茜茵茹荃草荏荔荷莆莉莊莎莓莘莛莞莫菀菁菊菡華菱菲菽萃萊萌萍萬萱葆葳葵蒂蒔蒨蒼蓁蓉蓓蓬蓮蔓蔚蔡蕊蕎蕙薇薏薔
薪薰藍藝藤藺藻蘅蘆蘊蘋蘭虎虔虞虹蜜融行衍衡袁裔裕裘裴褘襄西親覲覺觀言訓訢許詒詔詞詠詣詩詮詳誌語誠誥誼誾諄諒諭諺諾謀謙謨謹譚譜譯譽谷豐豪豫貝貞財貫貴貽賀賓賜賢賦賴賸贊超越踐躍身軍軒輔輝輿辛辰迅迎近迪迺通逢進逵逸遂遊道達遙遠
適遷邁邦郁郅郎郡郢鄉鄴酉醇采釋重野金釗鈁鈐鈞鈴鈺鉅鉉鉦銀銅銓銘銜銳鋐鋒鋕鋼錄錕錚錡錦錫鍵鍾鎂鎔鎧鎮鏗鏘鏞鏡鐘鐸鑑鑫長開閎閏閔閣阿陞陵陶陸陽隆雁雄雅集雋雍雙雨雪雯雲零雷電霂霆霈霏霓霖霜霞霽靈青靖靚靜革鞍鞏韋音韶韻響項順頌頎
頡頤顏顥顯風飛養香馥馨馬駒駪駱駿騏騰驊驛驥高魁鮮鯤鳳鳴鴻鵑鵬鶯鶴鷹鸞鹿麒麗麟黎黛黠鼎齊齡龍
"""
GIVEN = frozenset("".join(_GIVEN.split()))
"""What given names in Taiwan are made of, mostly."""

GIVEN_NOT = frozenset("的了是在由和與及或請者們你我他她它這那有不也都就要個位名各每嗎呢吧啊很被把對給讓向從於但而且、")
"""Characters that are in no given name."""

_WORDS = """
蘇聯 蘇珊 蘇格 嚴格 紀念 葉綠 車至 車相 車應 車均 紀波 羅倫 連署 程序 田賦 參照 項軍 高中 高職 高級 高階 高等 高薪 高層 高雄 高工 高商 程式 程度 方便 方法 方面 方案 金融 金屬 金額 安全
安親 安養 安排 白天 白色 白衣 周末 周邊 周遭 周一 周二 江湖 溫柔 溫泉 游泳 康復 童年 馬上 馬路 馬祖
連續 連絡 連鎖 古代 古典 古文 段落 易於 關於 關係 關鍵 關心 關懷 夏天 夏季 夏令 黃金 黃色 石油 林務
林業 林口 施工 施政 施行 陳情 陳述 陳報 陳請 陳由 陳列 余額 何謂 何時 何種 何況 何以 如何 任何 為何 幾何 許多 張貼
張數 包括 包含 包裝 項目 史上 史料 龍頭 龍潭 毛利 毛筆 牛肉 牛奶 盛大 季節 車上 車子 車站 車輛 車行
車主 易經 唐詩 宋代 宋詞 湯姆 田徑 田野 藍色 藍天 紀錄 紀念 紀律 連帶 莊園 曾經 曾任 曾依 曾執 曾於
曾在 曾受 曾為 曾擔 謝謝 感謝 多謝 致謝 答謝 道謝 簡單 簡報 簡任 簡易 簡體 簡訊 洪水 徐徐 蘇打 葉子
胡說 胡亂 余下 梁柱 顏色 孫子 孫女 戴著 范圍 杜鵑 丁班 卓越 董事 巫師 金牌 金管 童軍 童話 陸續 陸軍
陸生 柳丁 邵族 錢財 伍長 熊貓 辛苦 辛勞 左右 左邊 左營 凌晨 甘肅 岳母 岳父 陶藝 陶瓷 包商 麥克 葛格
賀卡 池塘 安裝 安置 李子 王牌 吳郭 鄭重 劉海 楊桃 林地 林園 花店 華語 先生 小姐 女士 太太 老師 同學
教授 醫師 律師 主任 經理 專任 兼任 擔任 委任 責任 信任 易學 物理 國文 英文 數學 音樂 體育 美術 江南
黃昏 張開 韓國 韓語 韓文 韓系 連任 連線 連結 石頭 白人 白領 單親 歐洲 歐美 歐盟 方程 史學 古蹟 金門
馬來 馬偕 侯選 施打 施作 游離 夏日 盧森 莊嚴 沈默 沈重 許願 羅馬 羅列 蕭條 葉片 高齡 高度 高手
"""
NOT_NAMES = frozenset(_WORDS.split())
"""Words of two characters that begin with a surname, end with one, or stand where a given name would."""

_DEAD = """
孫中山 孫逸仙 蔣中正 蔣介石 蔣經國 毛澤東 周恩來 鄭成功 鄭芝龍 劉銘傳 沈葆楨 連雅堂 丘逢甲 王陽明 王安石 歐陽修 司馬光 司馬遷 司馬懿 諸葛亮 蘇東坡
范仲淹 李清照 陶淵明 白居易 孟浩然 柳宗元 杜牧 李白 杜甫 李商隱 王維 曹操 曹雪芹 羅貫中 吳承恩 施耐庵 李時珍 張仲景 王羲之 梁啟超 康有為
袁世凱 李鴻章 曾國藩 左宗棠 林則徐 洪秀全 胡適之 徐志摩 張愛玲 魯迅 錢穆 梁實秋 林語堂 傅斯年 蔡元培 李登輝 吳沙 莫那魯道
"""
HISTORICAL = frozenset(_DEAD.split())
"""The dead of the history books: the law on personal data protects the living (個人資料保護法施行細則 § 2)."""

_WHAT = """
全體 連同 連署 周知 項全 陳副 蘇聯 世紀 曾申 
高興 高明 溫馨 康寧 安寧 安樂 安康 安定 安心 安靜 安平 安和 安全 金石 金源 金馬 金山 金華 白金 石英 石材 方正 方形
文化 文書 成立 成長 成年 成功 成果 全家 全國 全聯 全部 全體 單位 單一 單獨 單純 應當 應於 應在 應自 應依 應與 應為 管理
管制 管道 管家 關於 關係人 常見 常常 常年 解決 申請 申報 申訴 華人 華南 利益 利用 利息 利率 利潤 花蓮 花費 文件 文山
章程 官方 顧客 萬元 萬一 萬華 任期 任一 任意 孔廟 武器 谷歌 成績 成員 成本 成大 練習 陽明 陽光 符合 應該 應用 祝福 齊全
舒適 畢業 留學 留存 留言 常委 向心 向上 全民 全省 全名 全年 利弊 陳明 陳稱 陳證 簡明 簡章 簡便 簡略 高度 高額 高興 明年
白米 黃牛 江山 金龍 金玉 馬達 馬力 龍山 龍門 石門 林區 林班 林立 林內 林邊 水林 高樹 安康 安順 安泰 康健 康宏 溫和 溫室
溫書 馮京 方圓 方向 方志 施予 施恩 柯南 童心 童貞 童詩 車廂 車隊 車貸 車禍 連任 連江 連城 連雲 連本 連名 連坐 孫輩 歐元
許可 許久 張力 張狂 王道 王室 王家 王國 王子 王品 李代 李氏 楊氏 黃氏 陳氏 林氏 張氏 王氏 吳氏 劉氏 蔡氏 洪災 洪荒 古早
古人 古城 古禮 古音 古樂 古文 古詩 段子 段考 包子 包廂 包括 毛衣 毛筆 毛巾 牛津 唐代 唐山 唐朝 宋朝 宋體 湯匙 湯圓 夏威
"""
NOT_AFTER_ROLES = NOT_NAMES | frozenset(_WHAT.split())
"""Words too that begin like a name, where no colon stands between role and name."""

# --- Chinese names --------------------------------------------------------------------------------------------------

_HAN = "\u3400-\u9fff\U00020000-\U0003ffff"
_IS_HAN = re.compile(f"[{_HAN}]")
_STRONG = "先生|小姐|女士"
_WEAK = (
    "太太|夫人|同學|老師|醫師|醫生|律師|教授|博士|經理|主任(?!委員)|校長|院長|店長|護理師|會計師|建築師|組長|課長|專員"
    "|學長|學姊|董事長|總經理|執行長|理事長|秘書長|秘書|科長|處長|局長|股長|班長|里長|村長|鄉長|鎮長|議員|立委|委員(?!會)|檢察官"
    "|法官|書記官|警員|員警|警官|藥師|技師|技士|導師|教練|牧師|神父|師傅|師父|理事(?!會|項|務|件|由)|監事(?!會)|董事(?!會)|顧問|工程師|設計師|總幹事|社工|襄理|副理|協理|代書"
)
_TITLE = re.compile(f"{_STRONG}|{_WEAK}|君(?<=[ \u3000]君)")
_RANK = re.compile("(?:主治|住院|副總|副|總|助理|榮譽|名譽|執行|代理|前|代)$")
_CUT = re.compile(f"{_STRONG}|{_WEAK}|敬[啟上邀謝賀輓]|謹[啟上識誌]|自[稱願行述]|同[意為行]|德[政]|本人|大德")
"""What is more likely to begin with the last character of a longer name: 曾宜律師 is 曾宜."""

_FOLLOW = re.compile(
    f"[^{_HAN}]|$|{_STRONG}|{_WEAK}"
    "|[君之的於在因為是係已將應向並經即則也都曾未不請先與及和或等等暨到由有受被把從對自遭擔任等說稱表指證坦供提簽敬謹來去前其當會可須於]"
    "|聯[繫絡]|接洽|認領|電[話子洽]|手機|行動|身[分份]|[地住]址|[住民男女]|性別|出[生席示具]|生[於日]|統[編一]|年[齡滿]|職[稱業務]|帳[號戶]|護照|居留|收|寄"
    "|代[收理表]|親[自簽]|陪同|宣布|報告|另|後|時|至|以|乃|又|亦|均|皆|亡|歿|逝|病|往|主持|致|拜|啟|叩|書|印|簽|蓋|補|領|支|繳|購|住|騎|駕"
)
_ORGANISATION = re.compile(
    f"[{_HAN}]{{0,8}}?(?:公司|企業|工業|實業|商[行號店]|銀行|醫院|診所|學校|學院|大學|[國高]中|國小|基金會|[協學公工]會|事務所"
    "|飯店|餐[廳飲]|集團|社區|大樓|中心|[區鄉鎮市縣村里路街]|[分總]行|工程|科技|建設|營造|出版)"
)
_DOTTED = re.compile(f"[{_HAN}]{{1,6}}(?:[．·‧・•][{_HAN}]{{1,6}}){{1,3}}")
_SPACED = re.compile(
    f"[{_HAN}]([ \u3000]{{1,2}})[{_HAN}]{{1,2}}(?![{_HAN}])|[{_HAN}](?:[ \u3000][{_HAN}]){{2,3}}(?![{_HAN}])"
)
_WAVERING = frozenset("曾連應成全管解向由余莫")
"""Surnames that are particles and verbs as often: behind them a name must end where no character follows."""

_DOTS = ("·", "．", "‧", "・", "•")
_FIRM = ":：=|｜"
_NUMERALS = frozenset("零〇一二三四五六七八九十百千萬無未同本其該此指如見詳全各上下前後左右")
_HIDDEN = re.compile(r"[○〇◯Ｏ＊*●Ｘ某]|[OX](?![A-Za-z])")


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
    return name[:2] not in NOT_NAMES or (
        rare and len(name) == 3 and set(given) <= GIVEN and given[1] not in "生人家長中大"
    )


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
        or is_name(name, rare=bare and (len(name) > 2 or (said and firm and _common(name))))
        or (said and firm and bare and _unknown(name))
    ):
        return False
    if _HIDDEN.match(after) or after[:1] in _DOTS or (len(name) > 2 and _CUT.match(text, at + len(name) - 1)):
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
    if word:
        return False
    if _ORGANISATION.match(after) or (name[0] in _WAVERING and not (said and len(name) > 2 and _FOLLOW.match(after))):
        return False
    return bool(_FOLLOW.match(after)) or (said and len(name) > 2)


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

_ROLES = """
姓名 聯絡人 連絡人 聯繫人 收件人 收件者 寄件人 寄件者 取件人 收貨人 申請人 負責人 承辦人 承辦人員 代理人 監護人 病人 病患 患者
持卡人 戶名 受款人 立書人 立約人 立契約書人 出租人 承租人 被保險人 要保人 受益人 家長 訂購人 買受人 出賣人 代表人 投保人 當事人
報名人 客戶 會員 學生 員工 業主 房東 房客 屋主 甲方 乙方 丙方 原告 被告 證人 告訴人 聲請人 相對人 上訴人 被上訴人 抗告人 辯護人
法定代理人 訴訟代理人 輔佐人 法官 審判長 書記官 檢察官 報案人 被害人 嫌疑人 犯罪嫌疑人 肇事者 目擊者 檢舉人 陳情人 保證人 見證人
連帶保證人 納稅義務人 申報人 配偶 主治醫師 住院醫師 醫師 護理師 藥師 導師 級任導師 指導教授 主席 紀錄 記錄 出席 列席 出席者 出席人員
列席人員 與會人員 紀錄人 記錄人 業務員 經辦 經辦人 經手人 員警 承辦員警 緊急聯絡人 家屬 父親 母親 先父 先母 孝男 孝女 長男 長女 次男 次女
新郎 新娘 主婚人 證婚人 介紹人 捐款人 捐贈人 捐贈者 失主 拾得人 拾獲人 住戶 所有權人 債權人 債務人 委託人 受託人 繼承人 被繼承人 投訴人
簽收人 收款人 付款人 匯款人 發票人 背書人 記者 司機 乘客 旅客 考生 應徵者 推薦人 顧客 投保學生 個案 案主 簽名 簽章 具領人 領款人 參加人
"""
_OFFICES = """
承辦 簽核 核准 審核 覆核 複核 製表 校對 編輯 窗口 聯絡窗口 代領 代收 總幹事 幹事 監工 填表 製單 點收 驗收 保管 值班 值日 主委 財委 監委
里長 村長 鄰長 董事長 總經理 經理 校長 院長 主任 組長 課長 科長 局長 處長 部長 會長 理事長 秘書長 秘書 隊長 所長 分局長 店長 班長 市長 縣長 鄉長
鎮長 區長 議員 立委 立法委員 委員 教授 老師 警員 警察 偵查佐 巡佐 小隊長 檢座 老闆 老闆娘 駕駛 駕駛人 騎士 民眾 市民 嫌犯 男子 女子 死者 傷者 受害者
女兒 兒子 丈夫 妻子 太太 弟弟 妹妹 哥哥 姊姊 姐姐 爺爺 奶奶 阿公 阿嬤 家母 家父 護喪妻 護喪夫 孝媳 孝婿 女婿 媳婦 室友 同事 同學 友人 網友 學長 學姊 學弟 學妹
創辦人 執行長 發言人 主持人 講師 講者 講員 評審 選手 教練 隊員 志工 義工 社工 社工師 心理師 治療師 諮商師 營養師 獸醫師 藥劑師 工程師 設計師 建築師
會計師 律師 地政士 代書 技師 技士 領隊 導遊 團員 買方 賣方 案母 案父 個管師 督導 助理 助教 研究員 審查委員 口試委員 召集人 副召集人 幹部 店員 櫃檯 專員
外送員 送貨員 保全 管理員 清潔員 看護 保母 護士 個案管理師 受試者 受訪者 投稿人 發文者 得獎人 中獎人 得標人 投標人 競標者 買家 賣家 會首 球員 船長 機長
"""
_GENERIC = "人者員師官長任理書友戶"
_LATIN = re.compile(r"[Nn]ame(?![A-Za-z])|NAME(?![A-Za-z])")


def _spread(role: str) -> str:
    return r"[ \u3000]*".join(role) if len(role) <= 4 else role


_NEXT = rf"""(?=[\s:：=|｜（(【】\])）」』"'*＊／/、之的姓簽大本為是係叫名{"".join(sorted(SURNAMES | RARE_SURNAMES | {two[0] for two in TWO_SURNAMES}))}])"""


def _by_first() -> dict[str, re.Pattern[str]]:
    """For each first character what may follow it in a role, the longer first. One alternation of all of them is three
    times slower: the engine goes through its branches one by one."""
    first: dict[str, list[str]] = {one: [] for one in _GENERIC}
    for role in sorted({*_ROLES.split(), *_OFFICES.split(), "我叫", "名叫"}, key=lambda role: (-len(role), role)):
        first.setdefault(role[0], []).append(f"{_spread(role)}{_NEXT}")
    for one in _GENERIC:
        first[one].append(rf"{one}(?=[:：=|｜（( \u3000])(?<=[{_HAN}].)")
    return {one: re.compile("|".join(rest)) for one, rest in first.items()}


_BY_FIRST = _by_first()
_SIGNS = ":：=|｜（( \u3000"
_PAIRS = {role[:2] for role in f"{_ROLES} {_OFFICES} 我叫 名叫".split()} | {one + sign for one in _BY_FIRST for sign in _SIGNS}
_SECOND = {role[1] for role in f"{_ROLES} {_OFFICES} 我叫 名叫".split()}
_GATE = re.compile(rf"[{''.join(sorted(_BY_FIRST))}](?=[{''.join(sorted(_SECOND))}:：=|｜（( \u3000])")

_PEOPLE = frozenset((*_ROLES.split(), "我叫", "名叫"))
_SURE = SURNAMES - frozenset("高江方溫温白石金安馬古龍連程田康毛包牛花左史夏陸林余曾巫卓唐宋車")
_COLON = re.compile(rf"[:：](?<=[{_HAN}）)].)(?=[ \u3000]?[{''.join(sorted(_SURE | {two[0] for two in TWO_SURNAMES}))}林高江曾余])")
_THING = re.compile(
    "(?:名稱|品名|品項|名|書|作品|地點|地址|主題|標題|題目|主旨|景點|商品|品牌|顏色|口味|菜色|公司|單位|科目|學校|歌曲|曲目|劇|片|材質|產地|來源|備註|說明|內容|種類"
    "|類別|答|問|曰|云|例如|如下|注意|包括|包含|摘要|關鍵字|出處|資料|機關|部門|例|註|系所|專長|興趣|物種|植物|動物|食材|原料|成分)$"
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
    done = 0
    for gate in _GATE.finditer(text):
        at = gate.start()
        role = _BY_FIRST[text[at]].match(text, at) if at >= done and text[at : at + 2] in _PAIRS else None
        if role:
            done = role.end()
            name = role[0].replace(" ", "").replace("\u3000", "")
            yield "other" if len(name) == 1 else "said" if name in _PEOPLE else "office", role.start(), done
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
    return kind in ("said", "office") or firm or " " in mark or "\u3000" in mark


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
wang chen lin huang chang zhang li lee wu liu tsai cai yang hsu xu cheng zheng hsieh xie hung hong kuo guo chiu qiu tseng zeng
liao lai chou zhou yeh ye su chuang zhuang lu lyu chiang jiang ho he hsiao xiao lo luo kao gao pan chien jian chu zhu chung zhong
yu peng chan zhan hu shih shi shen wei sun tai dai fan fang sung song teng deng tu fu hou tsao cao hsueh xue ting ding cho zhuo
juan ruan ma tung dong wen tang lan shihn chiang gu ku chi ji yao feng ou tien tian kang bai pai tsou zou yu yan han yuan chin jin
lu xia hsia pao bao ouyang szuma chiou jhang jhou jheng syu sie tsay chao zhao liang ko ke kuan guan nguyen tran pham
"""
_SURNAMES_ROMAN = frozenset(_ROMAN.split())
_ROMAN_LABEL = re.compile(
    r"(?:(?P<who>(?<![A-Za-z])(?:(?:full|legal|english|passenger|guest|patient|applicant|cardholder|contact|student|employee|customer"
    r"|beneficiary|recipient|sender|insured|traveler|holder)(?:'s)?[ _]name|passenger|cardholder|applicant|attn|guest|patient)"
    r"|英文姓名|護照姓名|姓名[（(]英文?[)）])"
    r"|(?P<name>(?<![A-Za-z])(?<![A-Za-z] )name|姓名|[人者戶]名?))[\"'*」】]{0,2}(?:[ \u3000]?[（(][^（）()\n]{1,14}[)）])?[ \u3000\t]*$",
    re.IGNORECASE,
)
_ROMAN_NAME = re.compile(
    r"[:：=|][ \u3000\t]*[\"'*]?(?:(?:Mr|Ms|Mrs|Miss|Dr)\.? )?"
    r"(?P<value>[A-Z][A-Za-z'’]+(?:-[A-Za-z]+)?(?:(?:, ?| |/)[A-Z][A-Za-z'’]*\.?(?:-[A-Za-z]+)?){1,3})(?![A-Za-z])"
)
_NOT_ROMAN = re.compile(
    r"\b(?:co|ltd|inc|corp|company|limited|university|bank|hospital|school|hotel|project|system|server|windows|linux|google|and|of|the"
    r"|test|build|deploy|date|number|name|id|type|address|phone|passport|new|my)\b",
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


_BEFORE_NUMBER = re.compile(rf"(?<![{_HAN}])[{_HAN}]{{3,4}}(?=[（(，、,：: \u3000\t]{{1,3}}\Z)")
_BEHIND_NUMBER = re.compile(rf"[）)，、,： \u3000\t]{{1,3}}([{_HAN}]{{3,4}})(?![{_HAN}])")


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
    for found in (*_before_titles(text), *_after_roles(text), *_roman(text)):
        if text[found[0] : found[1]] not in HISTORICAL:
            yield found
