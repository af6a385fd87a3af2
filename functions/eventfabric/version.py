"""Version of this library: the only place that says it. The build reads it here.

It is not asked of the installation: the functions' zip has no metadata, and that of an editable one is as old as it is.
"""

from typing import Final

VERSION: Final = "0.1.0.dev0"
"""The released version, or the next with `.dev0` between releases. tests/docs holds it to CHANGELOG.md and tags."""
