"""Builds the container image with whatever builder is there, and runs it once as the chart would: `make image`."""
