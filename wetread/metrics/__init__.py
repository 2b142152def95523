"""What Prometheus is told of the node."""
