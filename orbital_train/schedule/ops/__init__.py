"""The operations of a trace, by what they are about."""
