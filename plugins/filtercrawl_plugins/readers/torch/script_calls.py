"""Calls of convolutions in TorchScript code, which is parsed as text and never run.

The code of an archive is a small part of Python, one statement a line
(`torch/csrc/jit/serialization/python_print.cpp`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from filtercrawl_plugins.readers.torch.weight_uses import WeightUses

# Arguments of a call that are parsed, and characters of one.
MAX_ARGUMENTS: Final = 16
MAX_ARGUMENT_LENGTH: Final = 1024
# Characters of the expression of a variable: more than an argument, so that a longer one is not taken for one.
MAX_VARIABLE_LENGTH: Final = 2048
# Variables that are followed from a weight to where it is read.
MAX_STEPS: Final = 64
# Characters of expressions that are followed, for each character of the code and besides.
MAX_WORK_RATIO: Final = 16
MAX_EXTRA_WORK: Final = 1_000_000
# Calls of a method that are followed.
MAX_CALLERS: Final = 16

_TOKEN: Final = re.compile(r'"(?:[^"\\\n]|\\.){0,1024}"|(?<![\w.])([\w.]*+)([(\[{])|[)\]}]|,')
_FUNCTION: Final = re.compile(r"^(?= *def )", re.MULTILINE)
_RECEIVER: Final = re.compile(r" +def \w+\((\w+): ")
_ASSIGNMENT: Final = re.compile(r"^ +(\w+) = (.*)$", re.MULTILINE)
_NAME: Final = re.compile(r"\w+")
_HEADER: Final = re.compile(r" *def (\w+)\(")
_PARAMETER: Final = re.compile(r"[(,]\s*(\w+): ")
_METHOD: Final = re.compile(r"self\.\w+")
_METHOD_OF_OTHER: Final = re.compile(r"\.\w+")
_WORD: Final = re.compile(r"[\w.]+")
_READ: Final = re.compile(r"\b(self(?:\.\w+)+|CONSTANTS\.c\d+)")
_CONVOLUTION: Final = re.compile(r"torch\.(_convolution|_convolution_mode|convolution|conv(?:_transpose)?[123]d)")
# Functions of the archive none of which convolves without `conv` in its name; all others start with `_ARCHIVE`.
_FUNCTIONAL: Final = "__torch__.torch.nn.functional."
_ARCHIVE: Final = "__torch__."
# Position of each setting in the arguments of a call.
_POSITIONS: Final[Mapping[str, Mapping[str, int]]] = {
    "conv": {"stride": 3, "padding": 4, "dilation": 5, "groups": 6},
    "_convolution_mode": {"stride": 3, "padding": 4, "dilation": 5, "groups": 6},
    "conv_transpose": {"stride": 3, "padding": 4, "groups": 6, "dilation": 7},
    "_convolution": {"stride": 3, "padding": 4, "dilation": 5, "transposed": 6, "groups": 8},
    "convolution": {"stride": 3, "padding": 4, "dilation": 5, "transposed": 6, "groups": 8},
}
_DEFAULTS: Final[Mapping[str, object]] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "transposed": False}


def weight_uses(code: str) -> WeightUses:
    """Return how code uses attributes and constants as weights of convolutions.

    A weight that a method takes as an argument is followed to where the method is called. Nothing is known of code
    whose expressions refer to each other so often that following them takes much longer than reading it.
    """
    try:
        return _weight_uses(code)
    except _TooMuchWorkError:
        return WeightUses()


class _TooMuchWorkError(Exception):
    """Following the expressions of some code takes much longer than reading it."""


def _weight_uses(code: str) -> WeightUses:
    functions = [_Function(_name_receiver(text)) for text in _FUNCTION.split(code)]
    methods = _Methods(functions, MAX_WORK_RATIO * len(code) + MAX_EXTRA_WORK)
    found: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    computed: set[str] = set()
    for function in functions:
        if "conv" not in function.text:
            continue
        for name, arguments in calls(function.text):
            if len(arguments) < 2:
                continue
            for source, variables in methods.sources(arguments[1], function):
                if _READ.fullmatch(source):
                    found[source.removeprefix("self.")].append(_settings(methods, name, arguments, function))
                else:
                    computed |= {read.removeprefix("self.") for read in methods.origins(source, variables)}
    agreed = {source: every[0] for source, every in found.items() if all(one == every[0] for one in every)}
    read = {name.removeprefix("self.") for function in functions for name in _READ.findall(function.text)}
    others = frozenset(read - found.keys() - computed)
    followed = not any(_may_convolve(function.text) for function in functions)
    return WeightUses(
        settings=agreed,
        computed_from=frozenset(computed),
        not_convolved=others if followed else frozenset(),
        unproven=others,
    )


class _Function:
    """A function or method of the code."""

    def __init__(self, text: str) -> None:
        self.text = text
        header = _HEADER.match(text)
        self.name = header[1] if header else ""
        # Positions of the parameters by name; the first one of a method is `self`.
        parameters = _PARAMETER.findall(text.partition(":\n")[0]) if header else []
        self.positions = {name: position for position, name in reversed(list(enumerate(parameters)))}
        self.variables = _variables(text)


class _Methods:
    """The methods of a class, and what they are called with."""

    def __init__(self, functions: list[_Function], work: int) -> None:
        """List the calls.

        Args:
            functions: The functions of the code.
            work: Characters of expressions that may be followed.
        """
        self._work_left = work
        names = Counter(function.name for function in functions)
        self._callers: dict[str, list[tuple[_Function, list[str]]]] = defaultdict(list)
        for function in functions:
            if "(self)." in function.text:
                for name, arguments in calls(function.text, _METHOD):
                    if names[name.removeprefix("self.")] == 1:
                        self._callers[name.removeprefix("self.")].append((function, arguments))
        self._found: dict[tuple[str, int], list[tuple[str, Mapping[str, str]]]] = {}

    def sources(self, expression: str, function: _Function, depth: int = 0) -> list[tuple[str, Mapping[str, str]]]:
        """Return the expressions that one in a function stands for, each with the variables of its function."""
        source = self._follow(expression, function.variables)
        callers = self._callers.get(function.name, [])
        position = function.positions.get(source, 0)
        if not position or not 0 < len(callers) <= MAX_CALLERS or depth > MAX_STEPS:
            return [(source, function.variables)]
        key = function.name, position
        if key not in self._found:
            self._found[key] = []  # a method that calls itself adds nothing
            every = [
                found
                for caller, arguments in callers
                for found in self.sources(
                    arguments[position - 1] if position <= len(arguments) else "", caller, depth + 1
                )
            ]
            self._found[key] = every if len(every) <= MAX_CALLERS else [("", {})]
        return self._found[key]

    def literal(self, expression: str, variables: Mapping[str, str]) -> object:
        """Return the literal that an expression stands for."""
        return parse_literal(self._follow(expression, variables))

    def origins(self, expression: str, variables: Mapping[str, str]) -> set[str]:
        """Return the attributes and constants that an expression is computed from."""
        found: set[str] = set()
        pending, seen = [expression], set[str]()
        for _ in range(MAX_STEPS):
            if not pending:
                break
            text = pending.pop()[:MAX_ARGUMENT_LENGTH]
            self._work(len(text))
            found |= set(_READ.findall(text))
            names = [name for name in _NAME.findall(text) if name in variables and name not in seen]
            seen.update(names)
            pending += [variables[name] for name in names]
        return found

    def _follow(self, expression: str, variables: Mapping[str, str]) -> str:
        """Return the expression that a chain of plain assignments leads to; of an attribute, its path from `self`."""
        tail = ""
        for _ in range(MAX_STEPS):
            head, dot, rest = expression.partition(".")
            if head not in variables or (dot and not _WORD.fullmatch(rest)):
                break
            expression, tail = variables[head], f"{dot}{rest}{tail}"
            self._work(len(expression) + len(tail))
        whole = expression + tail
        return whole if len(whole) <= MAX_ARGUMENT_LENGTH else ""

    def _work(self, characters: int) -> None:
        self._work_left -= characters
        if self._work_left < 0:
            raise _TooMuchWorkError


def calls(code: str, pattern: re.Pattern[str] = _CONVOLUTION) -> Iterator[tuple[str, list[str]]]:
    """Yield the calls of functions whose names fit a pattern, inner ones first: the name and the arguments.

    The first argument, the input of a convolution, is left empty: it may contain all other calls. The name of a method
    is `self.NAME` if it is one of the module itself, else `.NAME`.
    """
    open_calls: list[tuple[str, int, list[str]]] = []  # the name is empty for calls that are not wanted
    for token in _TOKEN.finditer(code):
        text = token[0]
        if token[2]:
            own = token[1].startswith(".") and code.endswith("(self)", 0, token.start())
            called = f"self{token[1]}" if own else token[1]
            wanted = len(called) <= MAX_ARGUMENT_LENGTH and pattern.fullmatch(called)
            open_calls.append((called if wanted else "", token.end(), []))
        elif text in (")", "]", "}", ",") and open_calls:
            name, start, arguments = open_calls[-1]
            short = bool(arguments) and len(arguments) < MAX_ARGUMENTS and token.start() - start <= MAX_ARGUMENT_LENGTH
            if name and len(arguments) < MAX_ARGUMENTS:
                arguments.append(code[start : token.start()].strip() if short else "")
            if text == ",":
                open_calls[-1] = (name, token.end(), arguments)
            else:
                open_calls.pop()
                if name:
                    yield name.removeprefix("torch."), arguments


def _may_convolve(function: str) -> bool:
    """Return whether a function calls a convolution, or code that is elsewhere and may convolve with what it gets."""
    for word in _WORD.finditer(function):
        name, after = word[0], function[word.end() : word.end() + 2]
        if "conv" in name.rpartition(".")[2] and (after[:1] == "(" or after == ")("):
            if not function.endswith("def ", 0, word.start()):
                return True
        elif name.startswith(_ARCHIVE) and not name.startswith(_FUNCTIONAL) and after[:1] in ("(", "\n", ""):
            return True
    return any(any(arguments[1:]) for _, arguments in calls(function, _METHOD_OF_OTHER))


def _name_receiver(function: str) -> str:
    """Return a method with its first parameter named `self`, whatever the original code calls it."""
    receiver = _RECEIVER.match(function)
    return re.sub(rf"(?<![\w.\"]){receiver[1]}(?=[.)])", "self", function) if receiver else function


def _variables(function: str) -> dict[str, str]:
    """Return the expression of each variable that is assigned once; of a long one, only its beginning."""
    variables: dict[str, str] = {}
    repeated: set[str] = set()
    for name, expression in _ASSIGNMENT.findall(function):
        if name in variables:
            repeated.add(name)
        variables[name] = expression[:MAX_VARIABLE_LENGTH].strip()
    return {name: expression for name, expression in variables.items() if name not in repeated}


def _settings(methods: _Methods, name: str, arguments: list[str], function: _Function) -> Mapping[str, object]:
    """Return the settings in the arguments of a call; what is left out has its default."""
    plain = re.fullmatch(r"(conv(?:_transpose)?)([123])d", name)
    settings = {**_DEFAULTS, "transposed": name.startswith("conv_transpose")}
    settings["rank"] = int(plain[2]) if plain else None
    for setting, position in _POSITIONS[plain[1] if plain else name].items():
        if position < len(arguments):
            settings[setting] = methods.literal(arguments[position], function.variables)
    return settings


def parse_literal(text: str) -> object:
    """Parse a literal of the code: integers in brackets or parentheses, an integer, True, False, or a string."""
    if re.fullmatch(r"[(\[][\d, ]+[)\]]", text):
        return tuple(int(number) for number in re.findall(r"\d{1,10}", text))
    if re.fullmatch(r"\d{1,10}", text):
        return int(text)
    return {"True": True, "False": False}.get(text, text.strip('"'))
