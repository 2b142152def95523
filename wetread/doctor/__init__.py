"""``wetread doctor``: looks at the node and all around it, and says what to do."""
