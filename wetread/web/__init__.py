"""The dashboard: pages made on the server for people who run the node."""
