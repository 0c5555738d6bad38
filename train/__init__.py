"""Two examples, an LSTM and a GAN, a classifier that judges the GAN, and what they share.

From a shell `python -m train.lstm`; in Python or a notebook `from train import lstm; lstm.run()`.
"""
