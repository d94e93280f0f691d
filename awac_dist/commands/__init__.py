"""What the command line does with data: inspect, validate, convert, collect, recipe."""
