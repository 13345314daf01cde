"""Holds a running server against what was measured offline, and reports."""
