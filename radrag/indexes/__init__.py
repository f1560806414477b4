"""Where passages are found: store, tokenizer, BM25, FAISS, encoders, fusion, and the hybrid index over them."""
