"""The chat page, in Traditional Chinese: the conversation, and beside it the sources that the answer cites.

Everything that it loads comes from this server; nothing is reported to anybody. Where a key guards the server, the
page asks for it (user name `danlu`).
"""

from __future__ import annotations

import hmac
import html
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danlu.errors import DanluError
from danlu.extras import need
from danlu.model.chat import Delta, Options
from danlu.records import Message
from danlu.serve.app import Service, refusal_of
from danlu.serve.door import Refusal

if TYPE_CHECKING:
    import fastapi

USER = "danlu"

_FONTS = ["system-ui", "Noto Sans TC", "Noto Sans CJK TC", "PingFang TC", "Microsoft JhengHei", "sans-serif"]
_CODE_FONTS = ["ui-monospace", "Noto Sans Mono CJK TC", "Consolas", "monospace"]
_MODES = {
    "generated": ("依據文件回答", "每一句都能在下面的原文中找到。"),
    "quoted": ("直接引用原文", "模型的說法無法由文件證實，因此只引用原文。"),
    "refused": ("文件中沒有提到", "檢索到的段落不足以回答這個問題。"),
    "courtesy": ("沒有查文件", "這句話不是要查文件的問題。"),
    "asked": ("反問", "還不清楚要查什麼。"),
    "plain": ("沒有查文件", "由模型直接回答，未經文件查證。"),
}
_EMPTY = "<p class='dl-hint'>回答裡的 [1]、[2] 會在這裡列出原文與出處。</p>"


def mount(
    app: fastapi.FastAPI, *, key: str | None = None, title: str = "丹爐助理", examples: Sequence[str] = ()
) -> None:
    """Add the page at / to an app of `danlu.serve.app.make_app`."""
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
    gradio = need("gradio", "serve")
    blocks = _blocks(gradio, app.state.service, title, examples)
    gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        auth=_login(key) if key else None,
        auth_message="請輸入使用者名稱 danlu 與伺服器的金鑰。" if key else None,
        theme=gradio.themes.Soft(primary_hue="orange", neutral_hue="stone", font=_FONTS, font_mono=_CODE_FONTS),
        js="() => { document.documentElement.lang = 'zh-Hant-TW'; }",
        css_paths=Path(__file__).with_name("page.css"),
    )


def _login(key: str) -> Any:
    def allowed(user: str, given: str) -> bool:
        return hmac.compare_digest(user.encode(), USER.encode()) & hmac.compare_digest(given.encode(), key.encode())

    return allowed


def _blocks(gradio: Any, service: Service, title: str, examples: Sequence[str]) -> Any:
    with gradio.Blocks(title=title, analytics_enabled=False, fill_width=True) as blocks:
        name = html.escape(service.name)
        gradio.HTML(f"<header class='dl-head'><h1>{html.escape(title)}</h1><p>模型：{name}</p></header>")
        with gradio.Row(equal_height=False):
            with gradio.Column(scale=3, min_width=420):
                talk = gradio.Chatbot(
                    show_label=False,
                    height="62vh",
                    elem_id="talk",
                    buttons=[],
                    feedback_options=None,
                    allow_tags=False,
                    placeholder="問一個文件裡找得到答案的問題。",
                    latex_delimiters=[
                        {"left": "$$", "right": "$$", "display": True},
                        {"left": "$", "right": "$", "display": False},
                    ],
                )
                with gradio.Row(equal_height=True):
                    hint = "輸入問題，按 Enter 送出"
                    box = gradio.Textbox(
                        placeholder=hint, show_label=False, container=False, elem_id="question", scale=6, autofocus=True
                    )
                    send = gradio.Button("送出", variant="primary", elem_id="send", scale=1, min_width=80)
                    stop = gradio.Button("停止", elem_id="stop", scale=0, min_width=64)
                    clear = gradio.Button("清除", elem_id="clear", scale=0, min_width=64)
                if examples:
                    gradio.Examples([[example] for example in examples], [box], label="試著問問看", elem_id="examples")
            with gradio.Column(scale=2, min_width=320):
                gradio.HTML("<h2 class='dl-side'>引用來源</h2>")
                panel = gradio.HTML(_EMPTY, elem_id="sources")
        asked = gradio.State("")
        answer = _answerer(gradio, service)
        shared = {"api_visibility": "private", "show_progress": "hidden"}
        running = []
        for event in (box.submit, send.click):
            taken = event(_take, [box, talk], [box, talk, asked, panel], queue=False, **shared)
            running.append(taken.then(answer, [talk], [talk, panel], concurrency_limit=service.limits.slots, **shared))
        stop.click(None, cancels=running, **shared)
        clear.click(lambda: ([], _EMPTY), None, [talk, panel], cancels=running, queue=False, **shared)
    return blocks


def _take(question: str, talk: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]], str, str]:
    """Move the question from the box into the conversation."""
    question = question.strip()
    added = [{"role": "user", "content": question}] if question else []
    return "", [*talk, *added], question, _EMPTY


def _answerer(gradio: Any, service: Service) -> Any:
    async def answer(talk: list[dict[str, Any]]) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        if not talk or talk[-1]["role"] != "user":
            return
        messages = [Message(role=turn["role"], content=_text(turn["content"])) for turn in talk]
        options = Options(max_tokens=service.limits.max_tokens)
        text, panel = "", _EMPTY
        try:
            async for delta in service.desk.stream(service.chat, messages, options):
                text += delta.text
                panel = sources_html(delta) if delta.sources is not None or delta.grounding else panel
                yield [*talk, {"role": "assistant", "content": text}], panel
        except (DanluError, Refusal) as error:
            raise gradio.Error(refusal_of(error).message, title="無法回答", print_exception=False) from None

    return answer


def sources_html(delta: Delta) -> str:
    """The panel beside the answer: how it came about, and each source with its document, headings, span and quote."""
    parts = []
    if delta.grounding:
        mode = delta.grounding["mode"]
        name, explanation = _MODES[mode]
        parts.append(f"<p class='dl-mode dl-{mode}' title='{explanation}'><b>{name}</b>　{explanation}</p>")
        removed = delta.grounding.get("unsupported", 0)
        if removed:
            parts.append(f"<p class='dl-hint'>有 {removed} 句話在文件中找不到依據，已經略去。</p>")
    for source in delta.sources or []:
        where = " › ".join([source["title"], *(name for name in source["headings"] if name != source["title"])])
        parts.append(
            f"<article class='dl-source'><h3><span>{source['n']}</span>{html.escape(where)}</h3>"
            f"<blockquote>{html.escape(source['quote'])}</blockquote>"
            f"<footer>{html.escape(source['source'])}　第 {source['start']}–{source['end']} 字元</footer></article>"
        )
    return "".join(parts) or _EMPTY


def _text(content: Any) -> str:
    """The text of a turn as Gradio keeps it: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else part.get("text", "") for part in content)
