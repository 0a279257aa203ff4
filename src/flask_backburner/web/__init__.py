"""The HTTP side: a job is a resource."""
