"""One look for every picture: palette, figures and labels."""
