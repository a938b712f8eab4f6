"""ropewalk gives a rotary-position language model a longer context window, cheaply, and proves that it worked.

    ropewalk.extend      change, train and save a model as one run
    ropewalk.load        the model of a checkpoint, with whatever its extension needs at run time
    ropewalk.evaluate    perplexity, context gain and recall of a model, with intervals
    ropewalk.Rope        the geometry that every method works on

The names below are imported when they are first used: `import ropewalk` alone imports neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.version import __version__

__all__ = ["Rope", "__version__", "evaluate", "extend", "load"]

if TYPE_CHECKING:
    from ropewalk.adapters import load_model as load
    from ropewalk.rope import Rope
    from ropewalk.run.api import evaluate, extend
else:
    # Hidden from the type checker, which would otherwise take every misspelt name of the package for `Any`.
    _HOMES = {
        "Rope": ("ropewalk.rope", "Rope"),
        "evaluate": ("ropewalk.run.api", "evaluate"),
        "extend": ("ropewalk.run.api", "extend"),
        "load": ("ropewalk.adapters", "load_model"),
    }

    def __getattr__(name: str) -> object:
        """Imports a public name when it is first asked for (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module 'ropewalk' has no attribute '{name}'; it has {', '.join(__all__)}")
        from importlib import import_module

        module, attribute = _HOMES[name]
        value = getattr(import_module(module), attribute)
        globals()[name] = value  # asked once; afterwards the name is an ordinary one
        return value

    def __dir__() -> list[str]:
        """The public names, imported or not."""
        return sorted({*globals(), *__all__})
