"""What is going to be measured, how, and at what cost."""
