"""Recording a run: one call writes TensorBoard events, history.csv and the display."""
