"""The functions that `wit/world.wit` promises. What they raise as `Err` is the tool's error, which a model reads."""

import urllib.error
import urllib.request

import wit_world
from componentize_py_types import Err

# The service, which `wit/world.wit` declares (`@needs`) and the operator grants.
SERVICE = "https://api.example.com"


class WitWorld(wit_world.WitWorld):
    def FUNCTION(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"{SERVICE}/{path}", timeout=20) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise Err(f"{SERVICE} answers {error.code}")
        except urllib.error.URLError as error:
            raise Err(f"{SERVICE} cannot be asked: {error.reason}")
        except ValueError as error:
            raise Err(f"{SERVICE} gives no text: {error}")
