"""Reads a study with the models that fit it."""
