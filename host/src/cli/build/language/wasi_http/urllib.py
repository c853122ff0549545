"""`urllib.request` over `wasi:http`, for a Python that has no sockets to the world and no `ssl`.

`tinymcp build` puts it before `app.py`. The module installs an opener, so that `urllib.request.urlopen` and what is built
on it work as they do elsewhere: redirects, errors, timeouts, bodies that are read piece by piece.
"""

import http.client
import io
import urllib.error
import urllib.request
from urllib.parse import urlsplit
from urllib.response import addinfourl

from componentize_py_types import Err
from wit_world.imports import outgoing_handler, types
from wit_world.imports.streams import StreamError_Closed

# The most that one write to a stream of WASI takes.
WRITE_BYTES = 4096
METHODS = {
    "GET": types.Method_Get,
    "HEAD": types.Method_Head,
    "POST": types.Method_Post,
    "PUT": types.Method_Put,
    "DELETE": types.Method_Delete,
    "OPTIONS": types.Method_Options,
    "PATCH": types.Method_Patch,
}
# Headers that belong to the connection, and so to the host.
OF_CONNECTION = {"host", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}


class WasiHandler(urllib.request.HTTPHandler):
    """Opens `http:` and `https:`."""

    handler_order = 400
    https_request = urllib.request.AbstractHTTPHandler.do_request_

    def http_open(self, request):
        try:
            return answer(request)
        except Err as error:
            raise urllib.error.URLError(reason(error.value)) from error

    https_open = http_open


def answer(request):
    """Sends a request, and returns its answer as soon as that has begun."""
    body = begin_body(request)
    url = urlsplit(request.full_url)
    outgoing = types.OutgoingRequest(types.Fields.from_list(headers(request)))
    method = request.get_method()
    outgoing.set_method(METHODS[method]() if method in METHODS else types.Method_Other(method))
    outgoing.set_scheme(types.Scheme_Https() if url.scheme == "https" else types.Scheme_Http())
    outgoing.set_authority(request.host)
    outgoing.set_path_with_query(request.selector or "/")
    outgoing_body = outgoing.body() if body is not None else None
    pending = outgoing_handler.handle(outgoing, options(request.timeout))
    if outgoing_body is not None:
        send(outgoing_body, body)
    with pending:
        with pending.subscribe() as pollable:
            pollable.block()
        incoming = pending.get().value
    if isinstance(incoming, Err):
        raise incoming
    incoming = incoming.value
    status = incoming.status()
    response = addinfourl(io.BufferedReader(Body(incoming)), message(incoming), request.full_url, status)
    response.msg = http.client.responses.get(status, "")
    return response


def headers(request):
    """What the request says, and the length of its body, as `urllib` has set it."""
    said = dict(request.unredirected_hdrs)
    said.update({name: value for name, value in request.headers.items() if name not in said})
    return [
        (name.lower(), value if isinstance(value, bytes) else str(value).encode("latin-1"))
        for name, value in said.items()
        if name.lower() not in OF_CONNECTION
    ]


def begin_body(request):
    """The body as pieces of bytes; none if there is none."""
    data = request.data
    if data is None:
        return None
    if isinstance(data, (bytes, bytearray, memoryview)):
        return [bytes(data)]
    if hasattr(data, "read"):
        return iter(lambda: data.read(WRITE_BYTES), b"")
    return data


def send(body, pieces):
    try:
        with body.write() as stream:
            for piece in pieces:
                for start in range(0, len(piece), WRITE_BYTES):
                    stream.blocking_write_and_flush(piece[start : start + WRITE_BYTES])
    except Err:
        # An answer may come before all is sent, and says more than this.
        return
    types.OutgoingBody.finish(body, None)


def options(timeout):
    """The timeout of each step, as `urllib` means it; the host has an end for the whole call."""
    if not isinstance(timeout, (int, float)):
        return None
    nanoseconds = max(1, int(timeout * 1e9))
    chosen = types.RequestOptions()
    chosen.set_connect_timeout(nanoseconds)
    chosen.set_first_byte_timeout(nanoseconds)
    chosen.set_between_bytes_timeout(nanoseconds)
    return chosen


def message(incoming):
    said = http.client.HTTPMessage()
    with incoming.headers() as fields:
        for name, value in fields.entries():
            said.add_header(name, value.decode("latin-1"))
    return said


class Body(io.RawIOBase):
    """The body of an answer, as it arrives."""

    def __init__(self, incoming):
        self._incoming = incoming
        self._body = incoming.consume()
        self._stream = self._body.stream()

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._stream is None or not buffer:
            return 0
        try:
            piece = b""
            # No bytes mean the end here, and nothing to read yet there.
            while not piece:
                piece = self._stream.blocking_read(len(buffer))
        except Err as error:
            if isinstance(error.value, StreamError_Closed):
                return 0
            code = types.http_error_code(error.value.value)
            raise urllib.error.URLError(reason(code)) from error
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self):
        if self._stream is not None:
            # From the inside out: what is left over of the answer is of no interest.
            for resource in (self._stream, self._body, self._incoming):
                resource.__exit__(None, None, None)
            self._stream = None
        super().close()


def reason(code):
    """Words for what went wrong, which a tool may show."""
    if isinstance(code, types.ErrorCode_HttpRequestDenied):
        return "the request is denied: it is not granted to this plugin"
    if isinstance(code, (types.ErrorCode_ConnectionTimeout, types.ErrorCode_ConnectionReadTimeout, types.ErrorCode_HttpResponseTimeout)):
        return TimeoutError("timed out")
    name = type(code).__name__.removeprefix("ErrorCode_")
    detail = getattr(code, "value", None)
    return f"{name}: {detail}" if isinstance(detail, str) else name


# In place of the handler of sockets, also in openers that are built by others. Proxies are the
# host's matter, and there is no FTP.
urllib.request.HTTPHandler = WasiHandler
opener = urllib.request.OpenerDirector()
for handler in (
    WasiHandler,
    urllib.request.UnknownHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.DataHandler,
    urllib.request.FileHandler,
):
    opener.add_handler(handler())
urllib.request.install_opener(opener)
