"""The two training steps in minigrad and PyTorch, and their products; `task.py` says what."""
