"""Ringfort: a protective environment around personal data."""

__version__ = "0.1.0"
