"""Drives a server with the official Python client, as an agent would.

    python python_client.py URL [legacy|modern|auto] [--watch]

A directory in the place of the URL is that of a server to be started there, as `$TINYMCP stdio`.

The server has the tools `hello` and `add`. Each check is one line of JSON on stdout:
    {"check": "add", "ok": true, "detail": …}
The exit code is 0 when all of them are ok. With --watch the line `READY` follows the checks; then the tools may change, and the
check `list_changed` gives their names as they are afterwards.
"""

import json
import os
import sys
from contextlib import AsyncExitStack
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx2
import mcp_types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

# The whole run, the wait for a change included.
DEADLINE_SECONDS = 120

# JSON-RPC "invalid params", which the specification wants for an unknown tool.
INVALID_PARAMS = -32602

MODERN_VERSION = "2026-07-28"
MODES = {"legacy": "legacy", "auto": "auto", "modern": MODERN_VERSION}


class Checks:
    """Runs checks one by one and remembers whether one has failed."""

    failed = False

    async def run(self, name: str, check: Callable[[], Awaitable[Any]]) -> None:
        """Prints what came of a check; what it raises is its failure."""
        try:
            report = {"check": name, "ok": True, "detail": await check()}
        except Exception as error:
            self.failed = True
            report = {"check": name, "ok": False, "detail": f"{type(error).__name__}: {error}"}
        print(json.dumps(report), flush=True)


def expect(condition: object, got: object) -> None:
    if not condition:
        raise AssertionError(f"unexpected: {got!r}")


async def drive(url: str, era: str, watch: bool) -> bool:
    checks = Checks()
    changed = anyio.Event()
    event_stream = anyio.Event()

    async def on_message(message: object) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            changed.set()

    async def on_response(response: httpx2.Response) -> None:
        if response.request.method == "GET" and response.status_code == 200:
            event_stream.set()

    async with AsyncExitStack() as stack:
        if "://" in url:
            # In the legacy era changes come on a stream that the client opens in the background: READY has to wait for
            # it. Reading has no timeout, or that stream would end while nothing changes.
            http = httpx2.AsyncClient(
                timeout=httpx2.Timeout(DEADLINE_SECONDS, read=None), event_hooks={"response": [on_response]}
            )
            transport = streamable_http_client(url, http_client=await stack.enter_async_context(http))
        else:
            command = StdioServerParameters(command=os.environ["TINYMCP"], args=["stdio"], cwd=url, env=dict(os.environ))
            transport = stdio_client(command)
            event_stream.set()
        client = await stack.enter_async_context(Client(transport, mode=MODES[era], message_handler=on_message))

        async def connect() -> dict[str, Any]:
            version = client.protocol_version
            expect((version == MODERN_VERSION) == (era != "legacy"), version)
            # Who pins a modern version asks nothing, so that the server is not known then.
            server = client.server_info
            return {"version": version, "server": server and server.model_dump(exclude_none=True)}

        async def tool_names() -> list[str]:
            return [tool.name for tool in (await client.list_tools()).tools]

        async def tools() -> list[str]:
            listed = {tool.name: tool for tool in (await client.list_tools()).tools}
            for name in ("hello", "add"):
                expect(name in listed and listed[name].description, list(listed))
                expect(listed[name].input_schema["type"] == "object", listed[name].input_schema)
            return list(listed)

        async def hello() -> str:
            result = await client.call_tool("hello", {"name": "Ada"})
            expect(not result.is_error and "Ada" in result.content[0].text, result)
            return result.content[0].text

        async def add() -> Any:
            result = await client.call_tool("add", {"a": 2, "b": 3})
            expect(not result.is_error and result.structured_content == {"result": 5}, result)
            return result.structured_content

        async def bad_argument() -> str:
            result = await client.call_tool("add", {"a": "two", "b": 3})
            expect(result.is_error and result.content[0].text, result)
            return result.content[0].text

        async def unknown_tool() -> str:
            try:
                result = await client.call_tool("no_such_tool", {})
            except MCPError as error:
                expect(error.code == INVALID_PARAMS, error.code)
                return error.message
            raise AssertionError(f"unexpected: {result!r}")

        async def list_changed() -> list[str]:
            if client.protocol_version == MODERN_VERSION:
                async with client.listen(tools_list_changed=True) as subscription:
                    print("READY", flush=True)
                    await anext(aiter(subscription))
            else:
                await event_stream.wait()
                # One that came before is about plugins that were loaded at the start.
                nonlocal changed
                before = await tool_names()
                print("READY", flush=True)
                while before == await tool_names():
                    await changed.wait()
                    changed = anyio.Event()
            return await tool_names()

        for check in (connect, tools, hello, add, bad_argument, unknown_tool):
            await checks.run(check.__name__, check)
        if watch:
            await checks.run("list_changed", list_changed)

    return not checks.failed


async def main() -> int:
    arguments = [argument for argument in sys.argv[1:] if argument != "--watch"]
    url, era = (*arguments, "auto")[:2] if arguments else ("", "")
    if not url or era not in MODES:
        print("usage: python_client.py URL [legacy|modern|auto] [--watch]", file=sys.stderr)
        return 2
    try:
        with anyio.fail_after(DEADLINE_SECONDS):
            ok = await drive(url, era, watch="--watch" in sys.argv)
    except Exception as error:
        # A failure of the connection itself, the deadline included, comes as one exception or as a group of them.
        print(json.dumps({"check": "connect", "ok": False, "detail": repr(error)}), flush=True)
        return 1
    return 0 if ok else 1


sys.exit(anyio.run(main))
