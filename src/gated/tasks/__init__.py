"""Tasks: each joins data, a model, a loss, metrics, baselines and a report."""
