"""One module for each question that is measured; each has a function `run(setup)` that returns figures."""
