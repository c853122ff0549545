"""The peer of `tests/bench peers`: FastMCP as its documentation has it, over HTTP, with an `add` in Python.

Answers are JSON and nothing is kept between requests, which is its fastest way to serve over HTTP.
"""

import argparse

from fastmcp import FastMCP
from starlette.requests import Request
from starlette.responses import Response

server = FastMCP("fastmcp")


@server.tool
def add(a: float, b: float) -> float:
    """Add two numbers together."""
    return a + b


@server.custom_route("/readyz", methods=["GET"])
async def ready(_: Request) -> Response:
    return Response()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True, help="host and port")
    host, port = parser.parse_args().listen.rsplit(":", 1)
    server.run(
        transport="http",
        host=host,
        port=int(port),
        path="/mcp",
        json_response=True,
        stateless_http=True,
        show_banner=False,
        log_level="warning",
        uvicorn_config={"access_log": False},
    )


if __name__ == "__main__":
    main()
