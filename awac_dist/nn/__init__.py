"""Networks: multi-layer perceptrons, Gaussian actors, critic ensembles."""
