"""The processes that train together, and how they start, speak and stop."""
