"""Watch a worker or a service from Python, through any number of lost connections."""
