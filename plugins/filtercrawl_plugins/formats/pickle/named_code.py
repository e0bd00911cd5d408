"""Which names in a pickle are code that loading it would run: functions, as opposed to the classes of objects.

Nothing is run here. Names are reported, so that whoever takes over a file learns what `pickle.load` would do.
"""

from __future__ import annotations

from typing import Final

# Packages of the standard library whose functions and classes reach beyond the process, or run text as code.
_REACHING: Final = frozenset(
    {
        "asyncio", "bdb", "code", "codeop", "commands", "ctypes", "distutils", "ftplib", "imp", "importlib", "marshal",
        "mmap", "multiprocessing", "nt", "os", "pdb", "pickle", "pip", "pkgutil", "popen2", "posix", "pty", "pydoc",
        "runpy", "shutil", "signal", "smtplib", "socket", "sqlite3", "subprocess", "sys", "tempfile", "timeit",
        "urllib", "webbrowser", "xmlrpc", "zipimport",
    }
)  # fmt: skip
_BUILTINS: Final = frozenset({"builtins", "__builtin__"})
# Builtins that only make values.
_VALUES: Final = frozenset(
    {
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "long", "object", "range",
        "set", "slice", "str", "tuple", "type", "unicode", "xrange",
    }
)  # fmt: skip
# Packages whose functions rebuild values, and functions of theirs that do more.
_REBUILDING: Final = frozenset(
    {
        "_codecs", "array", "collections", "copy_reg", "copyreg", "datetime", "decimal", "fractions", "functools",
        "jax", "jaxlib", "numpy", "pandas", "pathlib", "re", "scipy", "sklearn", "torch", "torchvision", "uuid",
        "zoneinfo",
    }
)  # fmt: skip
_LOADING: Final = (
    "functools.reduce", "numpy.f2py.", "numpy.load", "numpy.testing.", "pandas.read_", "pandas.eval", "torch.hub.",
    "torch.load", "torch.ops.load_library", "torch.serialization.load", "torch.utils.cpp_extension.",
    "torch.utils.data.", "torch.jit.load", "torch._inductor.", "torch.distributed.rpc.", "torch.testing.",
)  # fmt: skip


def reaches_out(module: str, name: str) -> bool:
    """Return whether a name is code wherever it stands in a pickle, called or not."""
    package = module.partition(".")[0]
    if package in _BUILTINS:
        return name.partition(".")[0] not in _VALUES and not name.endswith(("Error", "Exception", "Warning"))
    return package in _REACHING or f"{module}.{name}".startswith(_LOADING)


def is_function(module: str, name: str) -> bool:
    """Return whether a name that is called is a function that nothing is known of: classes begin with a capital."""
    last = name.rpartition(".")[2]
    known = module.partition(".")[0] in _REBUILDING or module.partition(".")[0] in _BUILTINS
    return not known and last.lstrip("_")[:1].islower()
