"""The trainers `train.lstm`, `train.gan` and `train.classifier`, what they share, and tools."""
