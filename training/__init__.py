"""Trains, evaluates and exports model packages (extra: train)."""
