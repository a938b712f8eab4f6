"""What a method or a sampler does, in numbers: no model, no torch."""
