"""A module with which the function of one subscription cannot start. The test fills in BREAKING."""

import os

if os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "").endswith("-BREAKING"):
    raise RuntimeError("this function is to fail at its start")
