"""accelerate's config files for training on several devices: one file for each way of sharing the work."""
