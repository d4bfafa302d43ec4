"""What carries out the commands of tasks: real processes (`process`) or rules (`simulated`), behind one interface."""
