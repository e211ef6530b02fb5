"""The search for a schedule's best shape under a law of the loss curve, written as a config."""
