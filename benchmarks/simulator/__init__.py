"""A charging site on simulated time: EVs, stations, RM, driven through the product."""
