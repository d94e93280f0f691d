"""Other people's formats -> episodes; nothing that is read is executed."""
