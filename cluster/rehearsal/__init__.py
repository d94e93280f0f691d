"""A machine room of network namespaces, to try the files of `cluster/` without any machine."""
