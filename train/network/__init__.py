"""The network: backbones, consensus, weights, dropout, memory, and itself with its preprocessing."""
