"""The functions that `wit/world.wit` promises. What they raise as `Err` is the tool's error, which a model reads."""

import wit_world
from componentize_py_types import Err
from wit_world.imports import kv


class WitWorld(wit_world.WitWorld):
    def FUNCTION(self, name: str) -> str:
        try:
            # Also of two calls at once each is counted.
            times = kv.increment(f"greeted/{name}", 1)
        except Err as error:
            raise Err(f"nothing can be counted here: {error.value}")
        return f"Hello, {name}! That was number {times}."
