"""Pure functions of tensors, shared by the methods. Each owns its stop-gradients."""
