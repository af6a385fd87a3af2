"""Names of Python for names of JSON: classes, members and the values of enums."""

import builtins
import re
from collections.abc import Collection, Iterable
from keyword import iskeyword
from typing import Final
from unicodedata import normalize

# Names that annotations of generated code use, or that the base classes of payloads have.
_TAKEN: Final = {
    *("bool", "bytes", "dict", "float", "int", "list", "object", "str", "tuple", "datetime", "UUID"),
    *("field", "dataclass", "copy", "json", "schema", "construct", "validate", "fields"),
}
_RESERVED_CLASSES: Final = {
    *(
        "Annotated",
        "Any",
        "BaseModel",
        "ConfigDict",
        "Field",
        "IntEnum",
        "Literal",
        "Meta",
        "OpenEnum",
        "StrEnum",
    ),
    *("Struct", "TypeAlias", "UNSET", "Union", "UnsetType", "AwareDatetime", "SkipJsonSchema", "UUID"),
    *(name for name in dir(builtins) if name[0].isupper()),
}


def class_name(text: str) -> str:
    """Return a class's name for a type of events or a definition, such as OrderPlaced for `shop.order-placed`."""
    words = [word for word in _plain(text).split("_") if word]
    name = "".join(word[0].upper() + word[1:] for word in words) or "Payload"
    if not name.isidentifier():
        name = f"Type{name}"
    return f"{name}_" if name in _RESERVED_CLASSES or iskeyword(name) else name


def member_names(encoded: Iterable[str], *, taken: Collection[str]) -> dict[str, str]:
    """Return an identifier for each member, by its name in JSON. Those that can stay as they are do.

    `taken`: the names of classes, which a member of a class would hide.
    """
    names: dict[str, str] = {}
    used: set[str] = set()
    for name in sorted(encoded, key=lambda name: (_identifier(name, taken) != name, name)):
        names[name] = _free(_identifier(name, taken), used)
        used.add(names[name])
    return names


def _identifier(name: str, taken: Collection[str]) -> str:
    identifier = _plain(name) or "member"
    if not identifier.isidentifier():
        identifier = f"member_{identifier}"
    hides = (
        iskeyword(identifier)
        or identifier in _TAKEN
        or identifier in taken
        or identifier.startswith("model_")
    )
    return f"{identifier}_" if hides or identifier in _RESERVED_CLASSES else identifier


def value_names(values: Iterable[str | int]) -> dict[str | int, str]:
    """Return names of an enum's members, by their values."""
    names: dict[str | int, str] = {}
    used: set[str] = set()
    for value in values:
        words = _plain(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(value))).upper()
        name = words if words.isidentifier() and not iskeyword(words) and words != "MRO" else f"VALUE_{words}"
        names[value] = _free(name.rstrip("_"), used)
        used.add(names[value])
    return names


def _plain(text: str) -> str:
    """Return a text with an underscore for whatever may not be in an identifier, and none at its ends."""
    # Python itself takes a name for its NFKC form.
    letters = (letter if f"_{letter}".isidentifier() else "_" for letter in normalize("NFKC", text))
    return normalize("NFKC", re.sub("_+", "_", "".join(letters))).strip("_")


def _free(name: str, used: Collection[str]) -> str:
    """Return a name that is not used, with a number at its end if need be."""
    candidate, number = name, 2
    while candidate in used:
        candidate, number = f"{name}_{number}", number + 1
    return candidate
