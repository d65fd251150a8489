"""AWS Glue's FindMatches for scripts: the same names and arguments, on the transforms of this control plane."""
