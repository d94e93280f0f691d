"""How fast this machine is at each stage: `python -m awac_dist.bench`."""
