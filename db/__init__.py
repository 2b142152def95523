"""The job table: the only state that processes share."""
