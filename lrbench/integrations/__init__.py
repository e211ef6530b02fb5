"""Callbacks that train, in other libraries' loops, under lrbench's schedules and into its folders.

Each takes the run that `lrbench.start` gave. It sets the schedule, whatever the library's own was,
records training losses and validations, tells a plateau of them, and writes the result at the end.
"""
