"""The figures of a package, and the aims of the house."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from radon.raw import analyze

from scripts.measurements.complexity import COMPLEXITY_MAX, complexities
from scripts.measurements.figure import Figure, mean, middle, p90, percent
from scripts.measurements.imports import imports_of
from scripts.measurements.source import NO_OPENING, SourceFile

COMMENTED = ("services", "wire")
"""The subpackages whose comments have an aim of their own."""


def measured(package: Path) -> list[Figure]:
    """Measure a package. Its folder must be one that can be imported under its name."""
    files = [SourceFile(path, path.relative_to(package).as_posix()) for path in sorted(package.rglob("*.py"))]
    return [
        *_sizes(files),
        *_complexity(files),
        *_words(files),
        *_imports(package),
    ]


def _sizes(files: Sequence[SourceFile]) -> Iterator[Figure]:
    modules = [len(file.lines) for file in files]
    functions = [lines for file in files for lines in file.function_lines()]
    lengths = [length for file in files for length in file.line_lengths()]
    yield Figure("modules", len(modules))
    yield Figure("lines of a module, median", middle(modules), at_most=103)
    yield Figure("lines of a module, p90", p90(modules), at_most=274)
    yield Figure("lines of a module, most", max(modules, default=0))
    yield Figure("functions", len(functions))
    yield Figure("lines of a function, median", middle(functions), at_most=6)
    yield Figure("lines of a function, p90", p90(functions), at_most=19)
    yield Figure("lines of a function, most", max(functions, default=0))
    yield Figure("length of a line, median", middle(lengths))
    yield Figure("length of a line, p90", p90(lengths))


def _complexity(files: Sequence[SourceFile]) -> Iterator[Figure]:
    functions = sorted(
        (function for file in files for function in complexities(file.text, file.name)), reverse=True
    )
    values = [function.value for function in functions]
    yield Figure("complexity, mean", mean(values))
    yield Figure("complexity, p90", p90(values))
    yield Figure("complexity, most", max(values, default=0))
    over_10 = [function for function in functions if function.value > 10]
    places = tuple(f"{function.place} has {function.value}" for function in over_10)
    yield Figure("functions over 10, %", percent(len(over_10), len(functions)), at_most=2, places=places)
    over_12 = sum(function.value > COMPLEXITY_MAX for function in functions)
    yield Figure(f"functions over {COMPLEXITY_MAX}, %", percent(over_12, len(functions)), at_most=0)


def _words(files: Sequence[SourceFile]) -> Iterator[Figure]:
    yield from _shares("all", files)
    for subpackage in COMMENTED:
        if inside := [file for file in files if file.name.startswith(f"{subpackage}/")]:
            yield from _shares(subpackage, inside, comments_min=3)
    refused = [
        f"{file.name}:{docstring.line} {docstring.opening}"
        for file in files
        for docstring in file.docstrings()
        if NO_OPENING.match(docstring.opening)
    ]
    unformatted = [f"{file.name}:{line}" for file in files for line in file.places_without_formatter()]
    yield Figure("docstrings that open badly", len(refused), at_most=0, places=tuple(refused))
    yield Figure("places without the formatter", len(unformatted), at_most=0, places=tuple(unformatted))


def _shares(name: str, files: Sequence[SourceFile], *, comments_min: float | None = None) -> Iterator[Figure]:
    lines = sum(len(file.lines) for file in files)
    comments = percent(sum(analyze(file.text).comments for file in files), lines)
    docstrings = percent(sum(docstring.lines for file in files for docstring in file.docstrings()), lines)
    yield Figure(f"comments in {name}, % of lines", comments, at_least=comments_min)
    yield Figure(f"docstrings in {name}, % of lines", docstrings)


def _imports(package: Path) -> Iterator[Figure]:
    imports = imports_of(package, for_typing=True)
    running = imports_of(package, for_typing=False)
    circles = tuple(", ".join(sorted(circle)) for circle in imports.cycles)
    yield Figure("import cycles", len(imports.cycles), at_most=0, places=circles)
    yield Figure("import cycles, typing left out", len(running.cycles), at_most=0)
    yield Figure("imports a module", imports.count / len(imports.direct), at_most=4.5)
    yield Figure("imports a module, typing left out", running.count / len(running.direct))
    path = imports.longest_path
    yield Figure("modules of the longest import path", len(path), at_most=18, places=path)
    yield Figure("modules of that path, typing left out", len(running.longest_path))
