"""Shows results: tables for the terminal, figures. From result records alone: no model, no torch."""
