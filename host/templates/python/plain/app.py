"""The functions that `wit/world.wit` promises. What they raise as `Err` is the tool's error, which a model reads."""

import wit_world


class WitWorld(wit_world.WitWorld):
    def FUNCTION(self, name: str) -> str:
        return f"Hello, {name}!"
