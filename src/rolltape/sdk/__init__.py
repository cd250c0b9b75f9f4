"""The SDK: a blocking and an async client of the HTTP API. docs/sdk.md shows it at work."""
