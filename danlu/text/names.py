"""Chinese surnames, and what looks like a name beside a title and is none. Not covered: rare surnames."""

from __future__ import annotations

_COMMON = """
陳林黃張李王吳劉蔡楊許鄭謝洪郭邱曾廖賴徐周葉蘇莊呂江何蕭羅高潘簡朱鍾游彭詹胡施沈余盧梁趙顏柯翁魏孫戴
范方宋鄧杜傅侯曹薛丁卓阮馬董温溫唐藍石蔣古紀姚連馮歐程湯田康姜汪白鄒尤巫鐘黎涂塗龔嚴韓袁金童陸夏柳凃
邵錢伍倪駱熊辛左凌甘史龍龐岳陶俞尹包裴麥段葛耿項邢覃車閔聶閻季賀殷牛池毛安粘滕鄂盛祁喬易
"""
SURNAMES = frozenset("".join(_COMMON.split()))
"""The single-character surnames of about 99 of 100 people in Taiwan."""

_TWO = """
歐陽 司馬 上官 諸葛 司徒 夏侯 張簡 范姜 端木 皇甫 尉遲 公孫 令狐 慕容 長孫 申屠 鍾離 東方 南宮
"""
TWO_SURNAMES = frozenset(_TWO.split())

GIVEN_NOT = frozenset("的了是在由和與及或請者們你我他她它這那有不也都就要個位名各每嗎呢吧啊很被把對給讓向從於但而且、")
"""Characters that are in no given name."""

_WORDS = """
高中 高職 高級 高階 高等 高薪 高層 高雄 高工 高商 程式 程度 方便 方法 方面 方案 金融 金屬 金額 安全
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
