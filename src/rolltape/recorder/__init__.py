"""The reference recorder: a real device in software, and the model for firmware writers (docs/protocol.md)."""
