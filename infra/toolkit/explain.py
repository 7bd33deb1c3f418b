"""Causes of failed deployments."""
