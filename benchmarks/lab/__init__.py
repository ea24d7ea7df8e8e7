"""What every measure needs: loads, clocks, child processes, statistics, results and reports."""
