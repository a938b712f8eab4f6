"""Text becomes token windows, samplers' positions become batches, recall tasks are made from a seed."""
