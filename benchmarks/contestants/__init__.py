"""The two training steps in each library, a file for each; `task.py` says what they compute."""
