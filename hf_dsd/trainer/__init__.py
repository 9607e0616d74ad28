"""The method inside the Hugging Face Trainer."""
