"""A comparison to read: one HTML page that loads nothing, and the same in Markdown."""
