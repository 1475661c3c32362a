"""Training data: pairs made from clean footage, their cache, and the data set that draws from it."""
