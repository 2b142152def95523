"""The front door: what a modality may send, and when Success is said."""
