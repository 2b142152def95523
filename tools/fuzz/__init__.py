"""A fuzzer for the receiver: hostile peers by the thousand, each of which can be called again."""
