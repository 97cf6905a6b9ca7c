"""What hidden tests are written with, how they are run, and what they earn."""
