"""Programs and peers around the project: the demo, and what demo, benchmarks and tests start."""
