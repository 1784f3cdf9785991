"""Trained models of zoo: files without code, which zoo finds by this package's entry point."""
