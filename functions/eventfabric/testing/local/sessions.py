"""Sessions of boto3 for a local fabric, which read the models of the services once in a process.

Reading them takes longer than all else that the start of a fabric does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import boto3
import botocore.session
from botocore.loaders import Loader, create_loader
from botocore.session import Session


def local_session() -> boto3.Session:
    """Make a session with credentials that are good for nothing but the local fabric."""
    core = Session()
    core.register_component("data_loader", shared_loader(core.get_config_variable("data_path")))
    return boto3.Session("local", "local", botocore_session=core)


def shared_loader(search_path_string: str | None = None) -> Loader:
    """Return the loader of all sessions that look for models in the same places."""
    loader = _loader(search_path_string)
    # Each session of boto3 adds the folder of boto3's own models once more.
    loader.search_paths[:] = dict.fromkeys(loader.search_paths)
    return loader


@contextmanager
def shared_models() -> Iterator[None]:
    """Have all sessions that are made meanwhile, even by handlers, read the models of the services once."""
    before = botocore.session.create_loader
    botocore.session.create_loader = shared_loader
    try:
        yield
    finally:
        botocore.session.create_loader = before


@cache
def _loader(search_path_string: str | None) -> Loader:
    return create_loader(search_path_string)
