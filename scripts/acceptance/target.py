"""The target of a deployment: an account, or an endpoint that behaves like one."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boto3 import Session

ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


class AcceptanceError(Exception):
    """A step could not be done at all, so the steps after it cannot be tested."""


@dataclass(frozen=True)
class Target:
    """A place to deploy to, and credentials. `environment` is added to that of every process that talks to it."""

    environment: Mapping[str, str]
    account: str
    is_emulator: bool = False
    """True for the emulator of `emulator.py`, or another of its kind, whose differences from AWS are made up for."""

    def session(self, credentials: Mapping[str, str] | None = None) -> Session:
        """Make a session with the deployer's credentials, or with those given."""
        environment = {**self.environment, **(credentials or {})}
        return Session(
            aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        )

    def client(self, service: Any, region: str, credentials: Mapping[str, str] | None = None) -> Any:
        """Make a client with the deployer's credentials, or with those given."""
        return self.session(credentials).client(
            service,
            region_name=region,
            endpoint_url=self.environment.get("AWS_ENDPOINT_URL"),
            verify=self.environment.get("AWS_CA_BUNDLE"),
        )

    def process_environment(self, credentials: Mapping[str, str] | None = None) -> dict[str, str]:
        """Make the environment of a process that talks to the target, as the deployer or with the credentials given.

        With credentials, the process inherits no AWS profile and no other credentials.
        """
        inherited = dict(os.environ)
        if credentials is not None:
            inherited = {k: v for k, v in inherited.items() if not k.startswith("AWS_") or k in ENDPOINTS}
        return {**inherited, **self.environment, **(credentials or {})}


@dataclass
class Person:
    """A role that has some managed policies and no other permissions. Made for the test, and deleted afterwards."""

    name: str
    arn: str
    credentials: dict[str, str]
