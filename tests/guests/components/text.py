import wit_world
from componentize_py_types import Err


class WitWorld(wit_world.WitWorld):
    def shout(self, words):
        wit_world.log(f"shouting {len(words)}")
        if not words:
            raise Err("nothing to say")
        return " ".join(words).upper() + "!"
