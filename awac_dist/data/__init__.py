"""Files <-> episodes. No reader executes what it reads.

What is damaged, missing or cannot be written is an InputError of one line that names the place.
"""
