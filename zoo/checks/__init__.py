"""Checks of what comes from outside: options, numbers, names, text and JSON."""
