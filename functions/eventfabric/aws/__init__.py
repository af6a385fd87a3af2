"""Adapters of AWS, the only shipped code that imports boto3: they translate, and never decide."""
