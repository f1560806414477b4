"""Who drafts an answer from passages: the extractive reader, or a generator that is prompted with them."""
