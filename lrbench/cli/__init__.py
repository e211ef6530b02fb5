"""The words of a command: reading them, naming folders after them, and what a mistake says."""
