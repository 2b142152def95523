"""The application: settings, command line, supervisor."""
