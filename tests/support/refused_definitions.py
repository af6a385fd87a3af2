"""Definitions that are refused: the problem that is reported of each."""

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.errors import DefinitionError, Problem


def refusal(text: str) -> Problem:
    """Return the one problem of a definition."""
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text)
    [problem] = caught.value.problems
    return problem
