"""One run from its config to result.json, and a sweep of runs seen as a whole."""
