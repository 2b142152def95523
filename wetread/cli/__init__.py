"""The command line: results on standard output, logs and errors on standard error."""
