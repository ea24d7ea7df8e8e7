"""Programs that show how the bus is used; `README.md` beside this file says how to run them."""
