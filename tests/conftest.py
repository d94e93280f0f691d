"""What all tests share."""

import environments
import torch

torch.set_num_threads(1)
environments.register()
