"""AWS Glue's module of this name, for scripts that import it: see `awsglueml.transforms`."""
