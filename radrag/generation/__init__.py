"""Who writes: Llama, llama-index models and scripted replies, and every prompt."""
