"""Dense-Sparse-Dense training for the Hugging Face Trainer."""
