"""A node, its PACS and its database at work while all of them are killed; nothing may be lost."""
