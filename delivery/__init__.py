"""Takes results to the PACS and proves that they arrived."""
