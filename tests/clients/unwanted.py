"""Posts bodies that the server does not want, and prints the statuses that it reads.

    python unwanted.py BASE '[{"path": "/token", "bytes": 5000000, "headers": {...}}, ...]'

With the standard library's client, which sends a body whole before it reads anything.
"""

import http.client
import json
import sys
from urllib.parse import urlsplit


def posted(address: str, request: dict) -> int | str:
    """The status, or the error that the client stops at."""
    connection = http.client.HTTPConnection(address, timeout=120)
    try:
        connection.request("POST", request["path"], b"x" * request["bytes"], request["headers"])
        response = connection.getresponse()
        response.read()
        return response.status
    except OSError as error:
        return repr(error)
    finally:
        connection.close()


address = urlsplit(sys.argv[1]).netloc
print(json.dumps([posted(address, request) for request in json.loads(sys.argv[2])]))
