"""The published studies, run again and compared with what was published."""
