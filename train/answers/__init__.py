"""What a trained network is asked: evaluation, prediction, features, export, comparison."""
