"""Files <-> episodes. No reader executes what it reads."""
