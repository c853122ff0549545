"""The functions that `wit/world.wit` promises. What they raise as `Err` is the tool's error, which a model reads."""

import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import input

# One flat object, as a person sees it.
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "title": "Your name"}},
    "required": ["name"],
}


class WitWorld(wit_world.WitWorld):
    def FUNCTION(self, greeting: str) -> str:
        """Ends with a question, and is called again with the answer: it does nothing that cannot be done twice before."""
        answer = input.answer_to("who")
        if answer is None:
            form = input.Form(message="Whom to greet?", schema=json.dumps(SCHEMA))
            raise Err(input.Stop_InputRequired(input.Request([("who", input.Question_Form(form))], b"")))
        if not isinstance(answer, input.Answer_Person) or not isinstance(answer.value, input.Reaction_Accepted):
            raise Err(input.Stop_Failed("the person did not say who they are"))
        # Answers come from the client unchecked.
        name = dict(answer.value.value).get("name")
        if not isinstance(name, input.Value_Text):
            raise Err(input.Stop_Failed("the form came back without a name"))
        return f"{greeting}, {name.value}!"
