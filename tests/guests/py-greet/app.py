"""Two typed functions in Python, made a component by componentize-py."""

import componentize_py_types
import wit_world


class WitWorld(wit_world.WitWorld):
    """The world of `wit/world.wit`."""

    def greet(self, name: str) -> str:
        """Greets somebody by name."""
        return f"Hello from Python, {name}!"

    def welcome(self, guest: wit_world.Guest) -> wit_world.Greeting:
        """Welcomes a guest; a guest without a name is an error of the tool."""
        if not guest.name:
            raise componentize_py_types.Err("a guest needs a name")
        name = f"{guest.title} {guest.name}" if guest.title else guest.name
        return wit_world.Greeting(text=f"Welcome, {name}!", first=guest.visits == 0)
