"""Who writes: Llama, llama-index models and the extractive reader."""
