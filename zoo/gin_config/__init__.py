"""Gin: the only place that knows it."""
