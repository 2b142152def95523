"""A modality that does not exist: sends synthetic studies, marked as tests, at a chosen pace."""
