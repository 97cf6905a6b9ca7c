"""Try the hidden tests on the bank: what wrongly passes, what is wrongly refused, which mistakes are named."""
