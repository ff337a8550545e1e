"""What bench/run does, in the order of one run: systems and workloads, install, stores, runs, report, plot."""
