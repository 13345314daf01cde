"""Try to break the service: hostile input, faults, concurrency, endurance."""
