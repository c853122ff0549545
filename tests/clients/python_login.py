"""Logs in with the official Python client, calls a tool, and renews its tokens.

    python python_login.py URL BROWSER [legacy|modern|auto]

BROWSER is a program that takes a URL and lets somebody log in there. The server has the tool `add`, and access tokens that live for two
seconds. Each check is one line of JSON on stdout; the exit code is 0 when all of them are ok.
"""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

DEADLINE_SECONDS = 120
TOKEN_LIFE_SECONDS = 5
MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


class Kept:
    """What a client keeps: the storage of its provider."""

    tokens: Any = None
    client: Any = None
    renewals = 0
    visits = 0

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        if self.tokens:
            self.renewals += 1
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


def expect(condition: object, got: object) -> None:
    if not condition:
        raise AssertionError(f"unexpected: {got!r}")


class Checks:
    failed = False

    async def run(self, name: str, check: Callable[[], Awaitable[Any]]) -> None:
        try:
            report = {"check": name, "ok": True, "detail": await check()}
        except Exception as error:
            self.failed = True
            report = {"check": name, "ok": False, "detail": f"{type(error).__name__}: {error}"}
        print(json.dumps(report), flush=True)


async def serve_callback(listener: Any, called: Any) -> None:
    """Takes one request of the browser and keeps its parameters."""

    async def handle(stream: Any) -> None:
        async with stream:
            head = (await stream.receive(65536)).decode()
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            path = head.split(" ")[1]
            query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
            await called.send(query)

    await listener.serve(handle)


async def drive(url: str, browser: str, era: str) -> bool:
    checks, kept = Checks(), Kept()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    called, came = anyio.create_memory_object_stream[dict[str, str]](1)
    redirect_uri = f"http://127.0.0.1:{port}/callback"

    async def open_browser(authorization_url: str) -> None:
        kept.visits += 1
        subprocess.Popen([browser, authorization_url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def wait_for_callback() -> AuthorizationCodeResult:
        query = await came.receive()
        return AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss"))

    provider = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(
            client_name="Python client (tests)",
            redirect_uris=[redirect_uri],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            token_endpoint_auth_method="none",
        ),
        storage=kept,
        redirect_handler=open_browser,
        callback_handler=wait_for_callback,
    )
    http = httpx2.AsyncClient(auth=provider, timeout=httpx2.Timeout(DEADLINE_SECONDS, read=None))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_callback, listener, called)
        async with http, Client(streamable_http_client(url, http_client=http), mode=MODES[era]) as client:

            async def connect() -> str:
                await client.list_tools()
                expect(kept.visits == 1, kept.visits)
                return client.protocol_version

            async def add() -> Any:
                result = await client.call_tool("add", {"a": 2, "b": 3})
                expect(not result.is_error and result.structured_content == {"result": 5}, result)
                return result.structured_content

            async def renew() -> int:
                await anyio.sleep(TOKEN_LIFE_SECONDS + 0.5)
                await add()
                expect(kept.renewals >= 1 and kept.visits == 1, (kept.renewals, kept.visits))
                return kept.renewals

            for check in (connect, add, renew):
                await checks.run(check.__name__, check)
        tasks.cancel_scope.cancel()
    return not checks.failed


async def main() -> int:
    if len(sys.argv) < 3 or (era := (*sys.argv[3:], "auto")[0]) not in MODES:
        print("usage: python_login.py URL BROWSER [legacy|modern|auto]", file=sys.stderr)
        return 2
    try:
        with anyio.fail_after(DEADLINE_SECONDS):
            ok = await drive(sys.argv[1], sys.argv[2], era)
    except Exception as error:
        print(json.dumps({"check": "connect", "ok": False, "detail": repr(error)}), flush=True)
        return 1
    return 0 if ok else 1


sys.exit(anyio.run(main))
