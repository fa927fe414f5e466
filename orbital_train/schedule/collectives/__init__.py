"""All-reduce over contacts: plans that add up what every node has, and bring the sum back to all of them."""
