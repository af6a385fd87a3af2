"""The fabric described for people and their tools: an AsyncAPI document, a page to read, examples of its events."""
