"""ondeck.toml: one model, a file a section. It needs no other part of ondeck.

`load()` finds, reads and checks the file and gives a frozen `Config` with absolute paths, or raises one
`ConfigError` that names every wrong place. Plug-ins derive their `Options` from `Section`, take the types of
`units` for durations, sizes and paths, raise `Wrong` in validators, and mix in `WithPassword` for a secret.
"""

from .errors import OndeckError
from .load import find, load, loads
from .model import Config
from .problems import ConfigError
from .section import Section
from .sinks import WithPassword
from .wrong import Wrong

__all__ = [
    "Config",
    "ConfigError",
    "OndeckError",
    "Section",
    "WithPassword",
    "Wrong",
    "find",
    "load",
    "loads",
]
