"""The only shipped code that imports boto3: adapters translate, and never decide."""
