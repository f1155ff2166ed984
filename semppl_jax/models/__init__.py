"""Networks: backbones, heads, the network over views, a probe, and weights.

All rooms above may use it. Haiku is imported only here and in `saliency`.
"""
