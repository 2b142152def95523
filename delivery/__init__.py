"""Takes results to the PACS."""
