"""The name a deployment expects for settings and key; and still Python's own `secrets`.

A top-level secrets.py hides the standard library's module from the whole process, and boto3,
werkzeug and others import that one. So this module *is* the standard one, run in this namespace,
and looks up anything else in ingest.settings when it is asked for.
`docs/decisions/0001-the-name-secrets.md` has the reasons.
"""

import os as _os
from importlib.machinery import PathFinder as _PathFinder

_spec = _PathFinder.find_spec("secrets", [_os.path.dirname(_os.__file__)])
if _spec is None or _spec.loader is None:
    raise ImportError("the standard library's secrets module was not found next to os.py")
# The standard module's own code, from where this Python keeps it.
exec(_spec.loader.get_code("secrets"), globals())  # type: ignore[attr-defined]  # noqa: S102


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(f"module 'secrets' has no attribute {name!r}")
    from ingest import settings

    try:
        return getattr(settings, name)
    except AttributeError:
        raise AttributeError(f"module 'secrets' has no attribute {name!r}") from None
